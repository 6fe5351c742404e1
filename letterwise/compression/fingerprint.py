"""Fingerprint: which model a compressed file needs.

    all that a model's predictions depend on: shape, characters, weights, counts ──sha256──▶ 8 bytes

Its history and the record of its text may differ.
"""

import hashlib
import json
from dataclasses import asdict

from letterwise.checkpoint import ModelFile
from letterwise.ngrams.storage import to_arrays

BYTES = 8


def fingerprint(file: ModelFile) -> bytes:
    """The first bytes of the digest."""
    lines = [] if file.line_break is None else ["lines"]
    members = [[asdict(member.model), member.weight] for member in file.members]
    shape = [asdict(file.config.model), file.vocabulary.to_json(), *lines, *members]
    digest = hashlib.sha256(json.dumps(shape).encode())
    arrays = file.arrays | (to_arrays(file.counts) if file.counts else {})
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()[:BYTES]
