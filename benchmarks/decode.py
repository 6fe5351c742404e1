"""Decode: characters per second of writing, one text at a time, beside nanoGPT's `generate` (what its sample.py calls).

    python -m benchmarks.decode --nanogpt CHECKOUT

Weights are fresh: what is written does not matter to speed. Both sample with temperature 0.8 and top-k 200.
"""

import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import nanogpt
from benchmarks.record import flags, record
from letterwise.config import DataConfig
from letterwise.counts import ORDER, Counts, learn
from letterwise.data.stream import prepare
from letterwise.inference.predictor import Predictor
from letterwise.inference.sampling import Sampler
from letterwise.model import Transformer, build, initialize
from letterwise.presets import resolve

VOCAB_SIZE = 65
SHAPES = [
    dict(n_layer=4, n_head=4, n_embd=128, block_size=64),
    dict(n_layer=6, n_head=6, n_embd=384, block_size=256),
]
CHARS = 500  # what sample.py writes by default


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    for shape in SHAPES:
        contenders: dict[str, Callable[[int], float]] = {}
        if asked.nanogpt:
            contenders["nanoGPT"] = nanogpt_writer(asked.nanogpt, shape)
        for preset in ("fast", "gpt2", "llama", "classic"):
            contenders[preset] = writer(preset, shape)
        speeds: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(asked.rounds):
            for name, rate in contenders.items():
                speeds[name].append(rate(CHARS))
        for name, rates in speeds.items():
            figures = {"chars_per_second": round(statistics.median(rates))}
            if asked.nanogpt and name != "nanoGPT":
                ratios = [ours / theirs for ours, theirs in zip(rates, speeds["nanoGPT"], strict=True)]
                figures["over_nanogpt"] = round(statistics.median(ratios), 1)
            if name != "nanoGPT":
                slower = statistics.median(contenders[name](400) / contenders[name](4000) for _ in range(asked.rounds))
                figures["cost_per_char_4000_over_400"] = round(slower, 2)
            record(asked.append, benchmark="decode", contender=name, **shape, **figures)


def writer(preset: str, shape: dict[str, int]) -> Callable[[int], float]:
    """Characters per second of our predictor and sampler, from an empty context."""
    config = resolve({"preset": preset, **shape}).model
    model: Transformer = initialize(build(config, VOCAB_SIZE), seed=0).eval()
    sampler, generator = Sampler(temperature=0.8, top_k=200), np.random.Generator(np.random.Philox(0))
    counts = counted() if config.counts_order else None

    def rate(chars: int) -> float:
        began = time.perf_counter()
        predictor = Predictor(model, counts)
        logits = predictor.read([0])
        for _ in range(chars):
            logits = predictor.read([sampler.choose(np.asarray(logits), generator)])
        return chars / (time.perf_counter() - began)

    return rate


@functools.cache
def counted() -> Counts:
    """Counts of a real text, its characters folded into the vocabulary."""
    stream = prepare(DataConfig(dataset="python-docs"), note=lambda text: None)
    counts = learn(stream.ids % VOCAB_SIZE, VOCAB_SIZE, ORDER)
    assert counts.ladder  # made once, as when a model is loaded
    return counts


def nanogpt_writer(checkout: Path, shape: dict[str, int]) -> Callable[[int], float]:
    """Characters per second of nanoGPT's own generate."""
    module = nanogpt.model_module(checkout)
    model = module.GPT(module.GPTConfig(**shape, vocab_size=VOCAB_SIZE, dropout=0.0, bias=False)).eval()

    def rate(chars: int) -> float:
        began = time.perf_counter()
        with torch.no_grad():
            model.generate(torch.zeros(1, 1, dtype=torch.long), chars, temperature=0.8, top_k=200)
        return chars / (time.perf_counter() - began)

    return rate


if __name__ == "__main__":
    main()
