"""Interop: models of other programs, both ways. Delete an exporter or importer, and nothing else notices.

ModelFile ──architecture: whose is it?──weight_names──▶ exporting ──▶ a folder that transformers, llama.cpp, … read
a checkpoint of nanoGPT, a Hugging Face folder ──▶ importing ──weight_names──▶ ModelFile
"""
