"""The transformer, brick by brick. Nothing in this folder knows about training, files, devices or strings.

Read in this order:

    positions ▸ normalization ▸ attention ▸ feedforward ▸ block ▸ transformer ▸ kv_cache ▸ initialize · ensemble

Six letters name every shape: **B** sequences in a batch, **T** characters in a sequence, **C** width of the residual
stream (`n_embd`), **H** attention heads, **D** width of a head (C = H·D), **V** characters in the vocabulary.
"""

from letterwise.model.ensemble import Ensemble
from letterwise.model.initialize import initialize
from letterwise.model.kv_cache import KVCache
from letterwise.model.transformer import Transformer, build

__all__ = ["Ensemble", "KVCache", "Transformer", "build", "initialize"]
