"""Checkpoint: what a trained model is on disk, and what a run needs to go on. A .safetensors is read without PyTorch."""

from letterwise.checkpoint.model_file import ModelFile, load_model, save_model
from letterwise.checkpoint.training_state import TrainingState, load_state, save_state

__all__ = ["ModelFile", "TrainingState", "load_model", "load_state", "save_model", "save_state"]
