"""A model of lines, asked in every way: evaluate, score, follow and cost agree, and no line depends on another."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from letterwise.inference.cpu.backend import compiled_backend
from letterwise.online import Online, evaluate
from letterwise.online.network import Network

TEXT = "bake\nlo\n\nstastastanukelomi\nke"


@pytest.mark.parametrize("protocol", ["blocks", "sliding"])
def test_evaluate_is_the_mean_of_score(tiny_lines, tmp_path: Path, protocol: str) -> None:
    """Also of what training never saw: an empty line, a last line without end, \\r\\n."""
    (tmp_path / "t").write_bytes(TEXT.replace("\n", "\r\n").encode())
    told = list(tiny_lines.score(input_file=tmp_path / "t", protocol=protocol))
    whole = tiny_lines.evaluate(tmp_path / "t", protocol=protocol)
    assert [line.text for line in told] == TEXT.splitlines(keepends=True)
    assert sum(line.predicted for line in told) == whole.chars == len(TEXT)
    assert sum(line.bits for line in told) / whole.chars == pytest.approx(whole.bits_per_char, abs=1e-9)
    as_text = list(tiny_lines.score(TEXT, protocol=protocol))
    assert [line.bits for line in as_text] == [line.bits for line in told]


def test_its_own_validation_part(tiny_lines, line_file: Path) -> None:
    own = tiny_lines.evaluate()
    assert own.nats_per_char == pytest.approx(min(row["val_nats_per_char"] for row in tiny_lines.history), abs=1e-6)
    assert tiny_lines.evaluate(line_file, split="val").nats_per_char == own.nats_per_char
    lines = list(tiny_lines.score())
    assert sum(line.bits for line in lines) / own.chars == pytest.approx(own.bits_per_char, abs=1e-9)
    assert all(line.predicted == len(line.text) for line in lines)
    counting = tiny_lines.data["baselines"]["counting alone"]
    assert own.counting_bits_per_char == pytest.approx(counting, rel=1e-6)


def test_a_line_costs_the_same_in_any_company(tiny_lines) -> None:
    lines = list(tiny_lines.score(TEXT, protocol="sliding"))
    for line in lines:
        (alone,) = tiny_lines.score(line.text, protocol="sliding")
        assert alone.bits == pytest.approx(line.bits, rel=1e-4)
        assert tiny_lines.cost(line.text) == pytest.approx(line.bits, rel=1e-4)
    followed = list(tiny_lines.follow([TEXT[:7].encode(), TEXT[7:].encode()], protocol="sliding"))
    assert [line.text for line in followed] == [line.text for line in lines]
    assert [line.predicted for line in followed] == [line.predicted for line in lines]
    np.testing.assert_allclose([line.bits for line in followed], [line.bits for line in lines], rtol=1e-4)


def test_a_page_tells_the_first_character_too(tiny_lines) -> None:
    (line,) = tiny_lines.score("bake", closely=True)
    assert line.characters.ranks.min() >= 1
    told = re.search(r"<p>([\d.]+) bits per character over 4 characters", tiny_lines.heat_map("bake"))
    assert float(told[1]) == pytest.approx(line.bits_per_char, abs=1e-3)


@pytest.mark.parametrize("online", [False, True])
def test_what_is_compressed_comes_back(tiny_lines, line_file: Path, online: bool) -> None:
    for content in (b"", b"\n", b"\r\n\xff\x00\n\n", TEXT.encode(), line_file.read_bytes()[:300]):
        assert tiny_lines.decompress(tiny_lines.compress(content, online=online)) == content


def test_online_what_is_scored_is_what_is_paid(tiny_lines, line_file: Path) -> None:
    text = line_file.read_text()[:400]
    ids = tiny_lines.vocabulary.encode("\n" + text)
    score = evaluate(tiny_lines.file, ids)
    assert score.chars == len(text)
    bits = score.bits_per_char * score.chars
    assert bits <= 8 * len(tiny_lines.compress(text.encode(), online=True)) <= bits * 1.001 + 8 * 64
    first = -math.log2(Online(tiny_lines.file).probabilities()[0, ids[1]])
    assert first < math.log2(len(tiny_lines.vocabulary))  # it stands at the beginning of a line


def test_the_network_learns_at_the_ends_of_lines(tiny_lines) -> None:
    """Once half a context was read; and what stands in a line is told by the new weights in a new window."""
    file = tiny_lines.file
    backend = compiled_backend(file.networks, len(file.vocabulary), file.counts, file.line_break)
    network = Network(file.networks[0], backend, file.counts)
    before = {name: weight.copy() for name, weight in tiny_lines.file.weights.items()}
    held = network.transformer.state_dict()
    for id in tiny_lines.vocabulary.encode("ba\n"):
        network.read(int(id))
    assert all((held[name].numpy() == weight).all() for name, weight in before.items())
    for id in tiny_lines.vocabulary.encode("\n"):
        network.read(int(id))
    assert any((held[name].numpy() != weight).any() for name, weight in before.items())
    assert (network.waiting, network.windows.held) == ([], [1])
