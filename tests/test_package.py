"""Package: what is built from this folder installs and runs where the folder is not."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: object, cwd: Path) -> str:
    """The output of a command that must succeed, away from this folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, and the wheel that is built from it: as an installer does that finds no wheel."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / source.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=unpacked)
    return folder


def test_the_wheel_runs_in_an_environment_of_its_own(built: Path, tmp_path: Path) -> None:
    """Dependencies come from this environment, since tests have no network; letterwise itself does not."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env/bin/python"
    (site,) = (tmp_path / "env/lib").glob("python*/site-packages")
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel, cwd=tmp_path)
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{here}\n")  # the editable installation's own .pth file there is not read
    assert Path(run(python, "-c", "import letterwise; print(letterwise.__file__)", cwd=tmp_path).strip()).is_relative_to(site)
    (tmp_path / "t.txt").write_text("The cat sat on the mat. " * 40)
    small = ["--n_layer", "1", "--n_embd", "16", "--block_size", "16", "--batch_size", "2", "--max_iters", "2"]
    run(python, "-m", "letterwise", "train", "--input_file", "t.txt", "--out", "run", *small, cwd=tmp_path)
    words = ["--model_path", "run/model.safetensors", "--seed", "The", "--num_tokens", "5"]
    assert run(python, "-m", "letterwise", "generate", *words, cwd=tmp_path).startswith("The")
    assert (site / "letterwise/py.typed").exists()
    page = "from letterwise.interop.exporting.page.assemble import assembled; print(assembled({}, ''))"
    assert run(python, "-c", page, cwd=tmp_path).startswith("<!doctype html>")


def test_the_source_holds_what_the_readme_starts_with(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"train.py", "generate.py", "README.md", "LICENSE", "letterwise/py.typed", "letterwise/cli/main.py"} <= names
    assert not [name for name in names if name.startswith(("out/", ".venv/", "tests/"))]
