"""The engine of a page, run by Node.js: what it says of ids, without a browser."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from letterwise.checkpoint import ModelFile
from letterwise.config import Config, ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.interop.exporting.page import assemble
from letterwise.interop.exporting.page.describe import counts_arrays, description
from letterwise.interop.exporting.page.pack import packed
from letterwise.interop.exporting.page.rounding import Weights, rounded
from letterwise.ngrams import Counts

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no Node.js (`node`), which runs the page's engine here")
RECORD = {"fingerprint": "0" * 64, "sources": ["/home/someone/poems.txt"], "bounds": [900, 1000, 1000]}

READ = """
const run = (models) => Promise.all(models.map(async ({ page, numbers, chunks, simd }) => {
  const windows = await buildWindows(page, numbers, { simd });
  return [[...windows.logits], ...chunks.map((ids) => [...windows.read(ids)])];
}));
"""


def in_node(script: str, given: Any) -> Any:
    """What `run` of a script says, with the engine's functions before it. Numbers that are no JSON come as null."""
    assert NODE
    rest = "\nrun(JSON.parse(require('fs').readFileSync(0))).then((found) => process.stdout.write(JSON.stringify(found)));"
    done = subprocess.run(
        [NODE, "--unhandled-rejections=strict", "-e", assemble.engine() + script + rest],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbers_of(file: ModelFile, weights: Weights = "float32") -> dict[str, Any]:
    """What a page holds of a model."""
    parts = packed({**rounded(file.weights, weights), **counts_arrays(file.counts)})
    return {"page": description(file) | {"arrays": parts.arrays}, "numbers": parts.numbers}


def logits_in_node(
    files: Sequence[ModelFile], chunks: Sequence[Sequence[int]], *, weights: Weights = "float32", simd: bool = True
) -> list[np.ndarray]:
    """Logits of several models before anything is read, and after each of some chunks of ids: (chunks + 1, V) of each."""
    given = [numbers_of(file, weights) | {"chunks": chunks, "simd": simd} for file in files]
    return [np.array(found, np.float32) for found in in_node(READ, given)]


def model_file(
    config: ModelConfig,
    weights: dict[str, np.ndarray],
    counts: Counts | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    lines: bool = False,
) -> ModelFile:
    """A model file of these parts."""
    if vocabulary is None:
        size = len(weights["tokens.weight"])
        vocabulary = Vocabulary("char", "".join(map(chr, [10, *range(0x100, 0x100 + size - 1)])))
    whole = Config(model=config).with_values({"lines": lines})
    return ModelFile(whole, vocabulary, weights, RECORD, [], counts)
