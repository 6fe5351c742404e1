"""Training on a text that is a large one to counting: what it learns beside, keeps and tells."""

from pathlib import Path

import pytest

import letterwise
from letterwise.checkpoint import load_model
from letterwise.config import Config
from letterwise.errors import UserError
from letterwise.ngrams import on_disk, passage_fit
from letterwise.ngrams.passage_fit import IN_MEMORY
from letterwise.ngrams.pruned import PrunedCounts
from letterwise.training.planning.memory import GIB, counts_bytes, fitted_to_memory, needs
from letterwise.training.planning.plan import chars_counted_in, counting


def test_a_model_learns_beside_pruned_counts_and_keeps_them(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage_fit, "IN_MEMORY", 200)
    few = {**on_disk.count_on_disk.__kwdefaults__, "max_ngrams": 300}
    monkeypatch.setattr(on_disk.count_on_disk, "__kwdefaults__", few)
    for module in (on_disk, passage_fit):
        monkeypatch.setattr(module, "PASSAGE", 50)
    (tmp_path / "t.txt").write_text("the rain in Spain falls mainly on the plain; what falls on the plains stays there.\n" * 20)
    shape = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_iters=3, counts_order=4, warmup_iters=0)
    model = letterwise.train(tmp_path / "t.txt", out=str(tmp_path / "run"), **shape)
    counts = load_model(tmp_path / "run" / "model.safetensors").counts
    assert isinstance(counts, PrunedCounts)
    assert sum(len(level.characters) for level in counts.levels[1:]) <= 300
    assert counts.chars > 200
    assert len(model.generate("the ", num_tokens=5)) == 5
    with pytest.raises(UserError, match="too many for a page: --distill"):
        model.export("html", str(tmp_path / "page"))


def test_memory_and_time_of_long_texts_are_bounded() -> None:
    config = Config().with_values({"max_iters": 100})
    sizes = [needs(config, vocab_size=100, chars=chars).counts for chars in (IN_MEMORY, 10 * IN_MEMORY, 10**11)]
    assert sizes[0] < sizes[1] == sizes[2]
    assert counts_bytes(10**10, crossfitted=False) < counts_bytes(10**10, crossfitted=True)
    text = {"vocab_size": 100, "chars": 10**11}
    asked = config.with_values({"counts_chars": 10**11})
    assert fitted_to_memory(asked, {"counts_chars"}, **text, available=6 * GIB)[0] == asked
    with pytest.raises(UserError, match=r"--counts_chars [0-9]+ fits"):
        fitted_to_memory(asked, {"counts_chars"}, **text, available=3 * GIB)
    plain = config.with_values({"counts_order": 0})
    assert needs(plain, vocab_size=100, chars=10**11).counts == needs(plain, vocab_size=100, chars=IN_MEMORY).counts
    assert counting(config, 1000) == "counting n-grams"
    assert "n-grams of 67,108,864 characters, which may take 6 minutes" in counting(config, 10**10)
    times = [chars_counted_in(seconds) for seconds in (1, 20, 30, 80, 600)]
    assert times == sorted(times)
    assert IN_MEMORY in times
    assert times[-1] > IN_MEMORY
