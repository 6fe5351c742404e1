"""Data: text becomes batches.

corpus, datasets ──▶ vocabulary ──▶ (lines) ──▶ stream ──▶ batches        no PyTorch; nothing here knows about models
                                                   └──▶ suffixes: what stands where, and what follows it
"""

from letterwise.data.batches import Batches, sweep
from letterwise.data.cache import TokenStream, reopen
from letterwise.data.encode import encode_corpus, prepare
from letterwise.data.vocabulary import Vocabulary

__all__ = ["Batches", "TokenStream", "Vocabulary", "encode_corpus", "prepare", "reopen", "sweep"]
