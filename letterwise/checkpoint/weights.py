"""Weights: a transformer's trained numbers as arrays by name, and back. Files are NumPy arrays, models are PyTorch's.

Transformer ──weights_of──▶ {name: array} ──▶ ModelFile · TrainingState ──▶ {name: array} ──restore──▶ Transformer
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.model_file import Member, ModelFile
from letterwise.checkpoint.shards import rows_of, shape_of
from letterwise.distributed.sharded import own_part, own_rows, whole
from letterwise.errors import UserError
from letterwise.model import Ensemble, Transformer, build


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors of any device as arrays; those of a CPU share their memory. Shares on several processes become whole."""
    return {name: whole(tensor.detach()).cpu().contiguous().numpy() for name, tensor in tensors.items()}


def as_tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Arrays as tensors that share their memory."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def weights_in(model: Transformer) -> dict[str, Tensor]:
    """The trained numbers of `model` by name, each once (a tied head is the embedding), where they are."""
    tied = {"head.weight"} if model.config.tied else set()
    return {name: weight.detach() for name, weight in model.state_dict().items() if name not in tied}


def weights_of(model: Transformer) -> dict[str, np.ndarray]:
    """The same as arrays, copied."""
    return {name: array.copy() for name, array in as_arrays(weights_in(model)).items()}


def load_weights(model: Transformer, weights: Mapping[str, np.ndarray]) -> None:
    """The inverse of `weights_of`, in place."""
    tied = {"head.weight": weights["tokens.weight"]} if model.config.tied else {}
    model.load_state_dict(as_tensors({**weights, **tied}))


def load(tensors: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays into the tensors of the same names; into a share, the rows it has: no others are read.

    Raises `UserError` where one is missing, or does not fit.
    """
    for name, tensor in tensors.items():
        if name not in arrays or shape_of(arrays, name) != tensor.shape:
            raise UserError(f"there is no {name[:60]!r} of shape {tuple(tensor.shape)}")
        own_part(tensor).copy_(torch.from_numpy(rows_of(arrays, name, own_rows(tensor))))


def restore_one(network: Member, vocab_size: int, device: torch.device | str = "cpu") -> Transformer:
    """The transformer that a file holds for one of its networks, ready to predict."""
    model = build(network.model, vocab_size, device)
    load_weights(model, network.weights)
    return model.eval()


def restore(file: ModelFile, device: torch.device | str = "cpu") -> Transformer | Ensemble:
    """All that a file predicts with: its transformer, or an ensemble of them."""
    size, networks = len(file.vocabulary), file.networks
    members = [restore_one(network, size, device) for network in networks]
    return Ensemble(members, [network.weight for network in networks]).eval() if file.members else members[0]
