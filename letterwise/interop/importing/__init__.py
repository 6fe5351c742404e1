"""Importing: a checkpoint of another program as a model file.

FILE or DIR ──▶ gpt (nanoGPT, minGPT, build-nanogpt) · hugging_face (GPT-2, Llama, OPT) ──Original──▶ ModelFile

files · plain_pickle   read what may be damaged, or made to do harm, and run none of it
characters · tokenizer which character each token is
"""

from letterwise.interop.importing.original import Wanted
from letterwise.interop.importing.read import read_original

__all__ = ["Wanted", "read_original"]
