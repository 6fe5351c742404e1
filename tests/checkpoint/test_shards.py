"""Shards: parts that several processes wrote are whole arrays again; what is missing, damaged or a lie is refused."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from letterwise.checkpoint.container import Damaged
from letterwise.checkpoint.shards import PLACES, digests, new_folder, open_shards, remove_unnamed, rows_of, shape_of
from letterwise.checkpoint.training_state import load_state, previous, read_state, save_state

GOLDEN = Path(__file__).parents[1] / "golden/format3-state.safetensors"


def written(home: Path, arrays: dict[str, np.ndarray], pieces: int = 3) -> dict[str, str]:
    """Arrays in shards, each cut by rows, as PyTorch's distributed checkpoint writes them."""
    folder = new_folder(home)
    folder.mkdir()
    for i in range(pieces):
        own, places = {}, {}
        for name, array in arrays.items():
            rows = np.array_split(np.arange(len(array) if array.ndim else 1), pieces)[i]
            if len(rows) and (array.ndim or i == 0):
                own[name] = np.ascontiguousarray(array[rows[0] : rows[-1] + 1]) if array.ndim else array
                places[name] = {"saved_offsets": [int(rows[0]), *[0] * (array.ndim - 1)] if array.ndim else []}
        path = folder / f"shard-{i + 1:05}-model-00001-of-00001.safetensors"
        safetensors.numpy.save_file(own, path, metadata={PLACES: json.dumps(places)})
    return digests(folder, sorted(folder.iterdir()))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"a": (7, 3), "b": (2,), "c": (4, 2, 5), "step": ()}
    return {f"x.{name}": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_parts_are_put_together(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    found = open_shards(tmp_path, written(tmp_path, arrays))
    assert found.keys() == arrays.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name])
    assert set(found.under("x.")) == {"a", "b", "c", "step"}
    assert not found.under("y.")


def test_some_rows_are_read_alone(tmp_path: Path, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    found = open_shards(tmp_path, written(tmp_path, arrays))
    read = list[int]()
    from_file = np.fromfile
    monkeypatch.setattr(
        np, "fromfile", lambda path, dtype, count, **at: (read.append(count), from_file(path, dtype, count, **at))[1]
    )
    for name, array in ((name, array) for name, array in arrays.items() if array.ndim):
        assert shape_of(found, name) == array.shape
        for first, end in itertools.combinations_with_replacement(range(len(array) + 1), 2):
            read.clear()
            np.testing.assert_array_equal(rows_of(found, name, slice(first, end)), array[first:end])
            assert sum(read) == array[first:end].size
            np.testing.assert_array_equal(rows_of(arrays, name, slice(first, end)), array[first:end])
    assert rows_of(found, "x.step", slice(None)) == arrays["x.step"]


def test_what_is_not_as_written_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    named = written(tmp_path, arrays)
    first, *others = sorted(named)
    with pytest.raises(Damaged, match=r"parts of 'x\.a' are missing"):
        open_shards(tmp_path, {name: named[name] for name in others})
    with pytest.raises(Damaged, match=r"it names '\.\./"):
        open_shards(tmp_path, {"../" + first: named[first]})
    content = (tmp_path / first).read_bytes()
    (tmp_path / first).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Damaged, match="is not what was once written there"):
        open_shards(tmp_path, named)
    (tmp_path / first).unlink()
    with pytest.raises(Damaged, match="cannot be read: No such file"):
        open_shards(tmp_path, named)


@pytest.mark.parametrize(
    "places",
    [{}, {"x": 3}, {"x": {"saved_offsets": [-1]}}, {"x": {"saved_offsets": [0, 0]}}, {"x": {"saved_offsets": [10**15]}}],
)
def test_lies_are_refused(tmp_path: Path, places: dict) -> None:
    """Nothing of the size that is claimed is built."""
    folder = new_folder(tmp_path)
    folder.mkdir()
    safetensors.numpy.save_file({"x": np.zeros(4)}, folder / "shard.safetensors", metadata={PLACES: json.dumps(places)})
    with pytest.raises(Damaged):
        open_shards(tmp_path, digests(folder, folder.iterdir()))


def test_a_state_in_shards_is_the_state(tmp_path: Path) -> None:
    """And where a shard is damaged, the state before it takes its place; shards of older ones are removed."""
    path, state = tmp_path / "state.safetensors", read_state(GOLDEN)
    parts = {part: dict(getattr(state, part)) for part in ("weights", "best", "lookahead", "optimizers")}
    held = {f"{part}.{name}": array for part, some in parts.items() for name, array in some.items()}
    for step in (1, 2, 3):
        shards = written(tmp_path, held)
        save_state(path, replace(state, step=step, shards=shards, weights={}, best={}, lookahead={}, optimizers={}))
        remove_unnamed(tmp_path, (path, previous(path)))
    assert len([*tmp_path.glob("shards-*")]) == 2
    found = load_state(path)
    assert found.step == 3
    found.check(found.weights["tokens.weight"].shape[0])
    for part, some in parts.items():
        assert getattr(found, part).keys() == some.keys()
        for name, array in some.items():
            np.testing.assert_array_equal(getattr(found, part)[name], array)
    shutil.rmtree(tmp_path / next(iter(found.shards)).split("/")[0])
    said: list[str] = []
    assert load_state(path, said.append).step == 2
    assert "The one before it takes its place, of step 2" in said[0]
