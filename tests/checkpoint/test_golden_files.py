"""Golden files: what earlier versions wrote still reads, and still says the same."""

from pathlib import Path

import pytest

import letterwise
from letterwise.checkpoint import load_model, save_model
from letterwise.checkpoint.container import unpack
from letterwise.checkpoint.training_state import read_state, save_state

GOLDEN = Path(__file__).parents[1] / "golden"
TEXT = "The cat sat on the mat. A dog sat on a log. " * 6
WROTE = {  # format → what it wrote greedily after "The ", and its nats per character of the text, when the files were made
    1: ("sat sat sat sat sat ", 2.3765970028851875),
    2: ("cat sat on the mat. ", 0.03715091187647467),
    3: ("cat sat on the mat. ", 0.03715091187647467),
    4: ("cat sat on the mat. ", 0.03968217349096926),  # an ensemble of those of formats 1 to 3
}


@pytest.mark.parametrize("form", ["safetensors", "pth"])
@pytest.mark.parametrize("version", WROTE)
def test_a_model_of_each_format_reads_and_writes_as_it_did(version: int, form: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    model = letterwise.load(GOLDEN / f"format{version}-model.{form}", device="cpu")
    written, nats = WROTE[version]
    assert model.generate("The ", num_tokens=20, greedy=True) == written
    assert model.evaluate(tmp_path / "text.txt").nats_per_char == pytest.approx(nats, abs=1e-5)
    assert [row["step"] for row in model.history][-1] == 20


@pytest.mark.parametrize("form", ["safetensors", "pth"])
@pytest.mark.parametrize("version", [3, 4])
def test_a_model_of_these_formats_is_written_as_it_was(version: int, form: str, tmp_path: Path) -> None:
    """To the byte, checksum included."""
    golden = GOLDEN / f"format{version}-model.{form}"
    save_model(tmp_path / f"again.{form}", load_model(golden))
    assert (tmp_path / f"again.{form}").read_bytes() == golden.read_bytes()


def test_a_state_reads_and_is_written_as_it_was(tmp_path: Path) -> None:
    state = read_state(GOLDEN / "format3-state.safetensors")
    assert (state.step, state.rollbacks, state.nats_steps) == (20, 0, 0)
    assert state.weights["tokens.weight"].shape == (len(set(TEXT)), 8)
    assert {name.split(".")[-1] for name in state.optimizers} == {"momentum", "step", "exp_avg", "exp_avg_sq"}
    assert len(state.rows) == 3
    save_state(tmp_path / "again.safetensors", state)
    again, golden = (unpack(path)[0] for path in (tmp_path / "again.safetensors", GOLDEN / "format3-state.safetensors"))
    assert again == golden  # the checksum is in it
