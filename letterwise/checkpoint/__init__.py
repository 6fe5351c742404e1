"""Checkpoint: what a trained model is on disk, and what a run needs to go on. A .safetensors is read without PyTorch."""

from letterwise.checkpoint.model_file import ModelFile, load_model, save_model

__all__ = ["ModelFile", "load_model", "save_model"]
