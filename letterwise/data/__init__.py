"""Data: text becomes batches.

reading/ ──▶ vocabulary ──▶ (lines) ──▶ encode ──▶ prepare, cache ──▶ token_stream ──▶ batches       no PyTorch; nothing here
                                                                          └──▶ suffix_array         knows about models
"""
