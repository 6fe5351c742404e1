"""Mutants: thousands of damaged and hostile files are each loaded as they should be, or refused in a sentence."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import MINUTES, ROOT, SHAPE, environment, text_file

from letterwise.checkpoint import load_model, save_model
from letterwise.checkpoint.container import EXTENSIONS
from letterwise.checkpoint.ensemble import combined
from letterwise.checkpoint.weights import weights_of
from letterwise.data.reading.datasets import cache_dir
from letterwise.errors import UserError
from letterwise.model import build, initialize
from letterwise.training.prepare import train

HERE = Path(__file__).parent
BATCH = 1_000  # mutants for a process
MUTANTS = int(3_000 * MINUTES) or 1_000


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good file of every kind that is ever loaded."""
    folder = tmp_path_factory.mktemp("mutants")
    files, text = folder / "files", text_file(folder)
    files.mkdir()
    for name, flags in {
        "counted.safetensors": {"preset": "fast"},
        "counted.pth": {"preset": "fast"},
        "plain.safetensors": {"preset": "gpt2"},
        "plain.pth": {"preset": "classic"},
        "": {"preset": "fast"},
    }.items():
        wanted = {**SHAPE, **flags, "input_file": (str(text),), "max_iters": 4, "eval_interval": 2}
        train(wanted, out=str(folder / f"run-{name}"), model_path=str(files / name) if name else None)
    counted = load_model(files / "counted.pth")
    for extension in EXTENSIONS:
        save_model(files / f"ensemble{extension}", combined([counted, counted], [0.7, 0.3]))
    shutil.copy(folder / "run-" / "state.safetensors", files)
    kept = next((cache_dir() / "streams").glob(f"{load_model(files / 'plain.pth').data['fingerprint']}*"))
    for part in ("ids.bin", "meta.json"):
        shutil.copy(kept / part, files)
    shutil.copy(next((ROOT / "configs").glob("*.toml")), files / "config.toml")
    return files


def test_every_mutant_loads_or_is_refused_in_a_sentence(originals: Path) -> None:
    ends: Counter[str] = Counter()
    for first in range(0, MUTANTS, BATCH):
        words = [sys.executable, str(HERE / "mutants.py"), str(originals), str(first), str(first + BATCH)]
        done = subprocess.run(words, env=environment(HERE), capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, (
            f"it crashed ({done.returncode}) at mutant {done.stderr.split()[-1:]}: {done.stderr[-2000:]}"
        )
        told = json.loads(done.stdout)
        assert told["bad"] == []
        ends.update(told["ends"])
    print(f"{sum(ends.values()):,} mutants: {dict(ends)}")
    assert ends["refused"] > 100
    assert ends["loaded"] > 0


@pytest.mark.parametrize("form", EXTENSIONS)
def test_a_large_file_is_loaded_in_twice_its_size(form: str, tmp_path: Path, originals: Path) -> None:
    small, large = originals / "plain.safetensors", tmp_path / f"large{form}"
    file = load_model(small)
    config = file.config.with_values({"n_layer": 8, "n_embd": 512, "n_head": 8})
    save_model(
        large, replace(file, config=config, weights=weights_of(initialize(build(config.model, len(file.vocabulary)), 0)))
    )
    assert large.stat().st_size > 2**26
    loading = "import sys; from mutants import *; load(Path(sys.argv[1])); print(watched(load, Path(sys.argv[2])))"
    told = subprocess.run([sys.executable, "-c", loading, small, large], env=environment(HERE), capture_output=True, text=True)
    assert told.stdout.strip() == "loaded", told


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def pickled(path: Path, content: bytes, **more: object) -> None:
    """A .pth with a pickle of one's own inside."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, data in ({"version": "3"} | more).items():
            archive.writestr(f"archive/{name}", data)


def test_code_in_a_pickle_is_named_and_never_run(tmp_path: Path) -> None:
    for protocol in (2, 4):
        pickled(tmp_path / "evil.pth", pickle.dumps({"letterwise": Trap(tmp_path / "was-here")}, protocol=protocol))
        with pytest.raises(UserError, match="contains pickled code"):
            load_model(tmp_path / "evil.pth")
    assert not (tmp_path / "was-here").exists()


def test_a_zip_that_unpacks_to_more_than_itself_is_refused(tmp_path: Path, originals: Path) -> None:
    with (
        zipfile.ZipFile(originals / "plain.pth") as good,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in good.namelist():
            bomb.writestr(name, good.read(name))
        bomb.writestr("archive/data/99", bytes(200 * 2**20))
    assert (tmp_path / "bomb.pth").stat().st_size < 2**20
    with pytest.raises(UserError, match="unpacks to more"):
        load_model(tmp_path / "bomb.pth")


def test_a_tensor_that_claims_more_than_is_stored_is_refused(tmp_path: Path) -> None:
    content = tmp_path / "claims.pth"
    torch.save({"letterwise": "{}", "weights": {"w": torch.zeros(10)}}, content)
    with zipfile.ZipFile(content) as archive:
        told = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    pkl = told.pop("data.pkl")
    assert pkl.count(b"K\n") >= 2  # the storage's length, and the tensor's
    pickled(content, pkl.replace(b"K\n", b"J\xff\xff\xff\x7f"), **told)
    with pytest.raises(UserError, match="damaged"):
        load_model(content)


def test_a_header_that_shares_its_parts_to_seem_small_is_refused(tmp_path: Path) -> None:
    """Each list holds the one before it twice: 2^100 parts, written in a kilobyte."""
    bomb: list = []
    for _ in range(100):
        bomb = [bomb, bomb]
    config = {"preset": "fast", "size": "nano", "data": {}, "model": {"n_layer": bomb}, "training": {}, "runtime": {}}
    header = {"format": "letterwise-model", "version": 2, "checksum": "", "config": config}
    torch.save({"letterwise": header, "weights": {}}, tmp_path / "bomb.pth")
    with pytest.raises(UserError, match="not plain containers"):
        load_model(tmp_path / "bomb.pth")


def test_a_deep_header_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    deep = safetensors.torch.save({"a": torch.zeros(1)}, metadata={"letterwise": "[" * 40_000 + "]" * 40_000})
    (tmp_path / "deep.safetensors").write_bytes(deep)
    with pytest.raises(UserError, match="header is not JSON"):
        load_model(tmp_path / "deep.safetensors")
    many = safetensors.torch.save({"a": torch.zeros(1)}, metadata={"letterwise": "[" + "[]," * 10**6 + "[]]"})
    (tmp_path / "many.safetensors").write_bytes(many)
    with pytest.raises(UserError, match="cannot hold as many parts"):
        load_model(tmp_path / "many.safetensors")
