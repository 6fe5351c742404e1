"""What all tests share: shapes in signatures are executed, and nothing is read from or written to the user's own cache."""

import os
import tempfile
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

from letterwise.machine import cache_dir
from letterwise.runtime.waiting import share_processors

# The first call of a compiled function takes its time. In CI the examples are always the same; a person finds new ones.
hypothesis.settings.register_profile("untimed", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("untimed")

os.environ["OMP_NUM_THREADS"] = "1"  # tests, and the processes they start, run side by side
share_processors()  # a test may want two threads, and the machine may be busy
os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_dir()))  # compiling takes too long for each run of the tests

import shapes  # noqa: E402 (it loads torch)

OWN_CACHE = tempfile.TemporaryDirectory(prefix="letterwise-tests-")  # removed when the tests end
os.environ["LETTERWISE_CACHE"] = OWN_CACHE.name
SHAPED = ["model", "loss", "evaluation", "training.optimizers.muon"]
COMPILED = {"cpu", "filters", "penalties", "dfa"}  # numba reads these functions itself, and wants them as they are
PACKAGE = Path(__file__).parents[1] / "letterwise"
READ = [path.relative_to(PACKAGE).with_suffix("").parts for path in (PACKAGE / "inference").rglob("*.py")]
SHAPED += [".".join(parts) for parts in READ if not {*parts} & {*COMPILED, "__init__"}]
jaxtyping.jaxtyped = shapes.checked_once  # which the hook's decorators call
jaxtyping.install_import_hook([f"letterwise.{part}" for part in SHAPED], "shapes.check")  # before anything imports them

import torch  # noqa: E402

from letterwise.compiling import entry  # noqa: E402
from letterwise.training import validation  # noqa: E402
from letterwise.training.finetune import finetuning  # noqa: E402

entry.MEANWHILE = False  # what is tested is what was compiled
validation.SAMPLE_CHARS = 20  # what a model writes after each validation takes longer than the steps between
finetuning.WRITTEN_CHARS = 100  # by a base model, before each run that starts from it

torch.set_num_threads(1)

pytest_plugins = ["tiny_run"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("LETTERWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
