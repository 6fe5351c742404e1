"""Data: text becomes batches.

corpus, datasets ──▶ vocabulary ──▶ stream ──▶ batches        NumPy only; nothing here knows about models
"""
