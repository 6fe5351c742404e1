"""World: every row is somebody's, once; what is dealt out comes back in order; one process is all of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from letterwise.checkpoint.container import read_header
from letterwise.checkpoint.shards import PLACES
from letterwise.checkpoint.training_state import previous
from letterwise.config import Config
from letterwise.data.batches import Windows
from letterwise.distributed.environment import Place, place, restarted, speaks
from letterwise.distributed.sharded import save_shares
from letterwise.distributed.world import ALONE, World, joined
from letterwise.errors import UserError
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.training.loading.pieces import own_pieces
from letterwise.training.loading.shared_counts import fitted_once
from letterwise.training.run_directory import RunDirectory
from letterwise.training.together import require_share

STARTED = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}


def windows(rows: int) -> Windows:
    return Windows(*(np.arange(rows) for _ in range(3)))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(2, 5))
def test_processes_take_each_row_once_in_as_many_pieces_each(rows: int, pieces: int, size: int) -> None:
    each = [list(own_pieces(windows(rows), pieces, World(rank, size))) for rank in range(size)]
    assert {len(found) for found in each} == {-(-pieces // size)}
    taken = [row for found in each for piece, counts in found if counts for row in piece.starts]
    assert taken == list(range(rows))
    assert all(len(piece.starts) for found in each for piece, _ in found)


@given(st.integers(1, 40), st.integers(1, 6))
def test_one_process_takes_what_it_always_took(rows: int, pieces: int) -> None:
    found = [piece.inputs.tolist() for piece, counts in own_pieces(windows(rows), pieces, ALONE) if counts]
    assert found == [part.tolist() for part in torch.arange(rows).tensor_split(pieces) if len(part)]


@given(st.integers(0, 20), st.integers(1, 5))
def test_what_is_dealt_out_comes_back_in_order(items: int, size: int) -> None:
    hands = [list(World(rank, size).mine(range(items))) for rank in range(size)]
    assert sorted(item for hand in hands for item in hand) == list(range(items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.distributed.all_gather_object", lambda lists, found: lists.__setitem__(slice(None), hands))
        assert World(0, size).dealt(hands[0]) == list(range(items))


@given(st.integers(0, 20), st.integers(1, 5))
def test_in_rounds_all_take_part_as_often_and_each_item_counts_once(items: int, size: int) -> None:
    each = [list(World(rank, size).in_rounds(range(items))) for rank in range(size)]
    assert {len(rounds) for rounds in each} == {-(-items // size)}
    assert [[item for item, counts, _ in rounds if counts] for rounds in each] == [
        list(World(rank, size).mine(range(items))) for rank in range(size)
    ]
    assert all(item in others for rounds in each for item, _, others in rounds)


def test_one_process_asks_nobody() -> None:
    with joined() as world:
        assert world == ALONE
        assert world.told("this") == "this"
        assert world.agreed(1.5, True, 0) == (1.5, True, 0)
        assert world.first_then_others(lambda: 3) == 3
        assert world.total(torch.tensor(2.0)) == 2


def test_what_is_mapped_is_what_was_built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, of which this is one after the other; the arrays are views of one file, which soon has no name."""
    ids = np.random.default_rng(0).integers(0, 5, 3000).astype(np.uint8)
    places: list[str] = []

    def listed(world: World, place: str) -> list[str]:
        places.append(place)
        return [places[0], places[-1]]

    monkeypatch.setattr(World, "listed", listed)
    monkeypatch.setattr(World, "wait", lambda world: None)
    unlink, kept = Path.unlink, list[Path]()
    monkeypatch.setattr(Path, "unlink", lambda path: kept.append(path))
    built = cross_fit(ids, 5, 4, folds=3, max_chars=2000)
    first = fitted_once(lambda: built, ids, World(0, 2, 0, 2))
    second = fitted_once(lambda: pytest.fail("built again"), ids, World(1, 2, 1, 2))
    for path in kept:
        unlink(path)
    starts = np.array([0, 700, 1500, 2500])
    for mapped in (first, second):
        assert not mapped.top.flags.writeable
        np.testing.assert_array_equal(mapped.log_probs_at(starts, 20, 2), built.log_probs_at(starts, 20, 2))
        np.testing.assert_array_equal(mapped.counts.log_probs_at(ids, starts, 20), built.counts.log_probs_at(ids, starts, 20))
    assert [*cache.iterdir()] == []


def test_the_environment_names_the_process() -> None:
    assert place({}) == Place(0, 1, 0, 1)
    assert place(STARTED) == Place(1, 4, 1, 2)
    assert speaks({"RANK": "1"}), "a variable that somebody happens to have set"
    assert not speaks(STARTED)
    assert restarted({"TORCHELASTIC_RESTART_COUNT": "2"})
    assert not restarted({"TORCHELASTIC_RESTART_COUNT": "0"})


@pytest.mark.parametrize("odd", [{"RANK": "4"}, {"WORLD_SIZE": "many"}, {"LOCAL_RANK": "-1"}])
def test_an_impossible_environment_is_refused(odd: dict[str, str]) -> None:
    with pytest.raises(UserError, match="no process of several"):
        place(STARTED | odd)


def test_more_processes_than_sequences_are_refused() -> None:
    config = Config().with_values({"batch_size": 2, "gradient_accumulation_steps": 2})
    require_share(config, World(0, 4))
    with pytest.raises(UserError, match="5 processes have 4 sequences a step to share: start 4 at most"):
        require_share(config, World(0, 5))


def test_a_process_that_is_not_the_first_touches_no_file(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run", tmp_path / "model.safetensors")
    directory.make()
    directory.state.write_bytes(b"state")
    directory.mark("this launch")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = directory.looked_at().with_model("../model.safetensors")
    other.refuse_if_used()
    other.make()
    with other.locked():
        other.clear()
        other.remove_leftovers()
        other.mark("another")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_shares_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot write to '.*full/shards': Not a directory"):
        save_shares(tmp_path / "full/shards", {"a": torch.zeros(3)}, ALONE)
    [file] = save_shares(tmp_path / "shards", {"a": torch.arange(3.0)}, ALONE)
    assert [*read_header(file, PLACES)[1]] == ["a"]


def test_only_the_launch_that_began_a_run_goes_on_with_it(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, tmp_path / "model.safetensors")
    directory.mark("a")
    assert not directory.is_of("a"), "nothing was saved"
    directory.state.write_bytes(b"state")
    assert directory.is_of("a")
    assert not directory.is_of("b")
    assert not directory.is_of("")
    directory.state.rename(previous(directory.state))
    assert directory.is_of("a"), "a process was killed before the new state took the old one's place"
    directory.clear()
    assert not directory.launch.exists()
