"""A trained model of each preset, for all exports: made once, at its first use."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

import letterwise

WORDS = dict(n_layer=2, n_head=2, n_embd=32, block_size=256, batch_size=4, max_iters=60, eval_interval=60)


class Trained(Mapping[str, letterwise.LanguageModel]):
    """Preset ▸ a small model of made-up words, with a context of 256."""

    def __init__(self, folder: Path) -> None:
        draw = np.random.default_rng(5)
        words = ["".join(draw.choice(list("abcdefghij"), draw.integers(2, 7))) for _ in range(60)]
        (folder / "words.txt").write_text(" ".join(draw.choice(words, 3000)))
        self.folder, self.made = folder, dict[str, letterwise.LanguageModel]()

    def __getitem__(self, preset: str) -> letterwise.LanguageModel:
        if preset not in self.made:
            text, out = self.folder / "words.txt", self.folder / preset
            self.made[preset] = letterwise.train(text, preset=preset, out=out, progress=False, **WORDS)
        return self.made[preset]

    def __iter__(self) -> Iterator[str]:
        return iter(("fast", "classic", "gpt2", "llama"))

    def __len__(self) -> int:
        return 4


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))
