"""One tiny run, overfitted once per session, that serves every test of a surface."""

from pathlib import Path

import numpy as np
import pytest

TEXT = (
    "".join(f"The {animal} sat on the {place}. " for animal in ("cat", "dog", "owl") for place in ("mat", "log", "sill")) * 12
)
FLAGS = dict(n_layer=2, n_head=2, n_embd=32, block_size=32, batch_size=8, max_iters=80, eval_interval=40)


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text on disk."""
    path = tmp_path_factory.mktemp("text") / "animals.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="session")
def tiny(text_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """A `LanguageModel` that knows the small text by heart; its run directory is `tiny.run_dir`."""
    import letterwise

    out = tmp_path_factory.mktemp("run") / "tiny"
    model = letterwise.train(text_file, out=out, **FLAGS)
    model.run_dir = out
    return model


SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "sta")
LINE_FLAGS = dict(n_layer=1, n_head=2, n_embd=16, block_size=8, batch_size=8, max_iters=40, warmup_iters=2, eval_interval=40)


@pytest.fixture(scope="session")
def line_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up names, one to a line: some stand twice, some are longer than the context of `tiny_lines`; empty lines between."""
    draw = np.random.default_rng(0)
    names = ["".join(draw.choice(SYLLABLES, draw.integers(1, 6))) for _ in range(120)]
    path = tmp_path_factory.mktemp("lines") / "names.txt"
    path.write_text("\n".join([*names, "", "", *names[:20]]))
    return path


@pytest.fixture(scope="session")
def tiny_lines(line_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """A `LanguageModel` of lines."""
    import letterwise

    return letterwise.train(line_file, lines=True, out=tmp_path_factory.mktemp("run") / "lines", **LINE_FLAGS)
