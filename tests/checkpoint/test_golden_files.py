"""Golden files: what earlier versions wrote still reads, and still says the same."""

from pathlib import Path

import pytest

import letterwise
from letterwise.checkpoint.training_state import read_state

GOLDEN = Path(__file__).parents[1] / "golden"
TEXT = "The cat sat on the mat. A dog sat on a log. " * 6
WROTE = {  # format → what it wrote greedily after "The ", and its nats per character of the text, when the files were made
    1: ("sat sat sat sat sat ", 2.3765970028851875),
    2: ("cat sat on the mat. ", 0.03715091187647467),
    3: ("cat sat on the mat. ", 0.03715091187647467),
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


def test_a_state_reads_as_it_was() -> None:
    state = read_state(GOLDEN / "format3-state.safetensors")
    assert (state.step, state.rollbacks, state.nats_steps) == (20, 0, 0)
    assert state.weights["tokens.weight"].shape == (len(set(TEXT)), 8)
    assert {name.split(".")[-1] for name in state.optimizers} == {"momentum", "step", "exp_avg", "exp_avg_sq"}
    assert len(state.rows) == 3
