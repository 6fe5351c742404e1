"""Compression: what comes back is what went in, whatever it is, at the price that the model's probabilities say."""

import contextlib
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import counted

from letterwise.api import LanguageModel
from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.weights import weights_of
from letterwise.compression import archive
from letterwise.compression.beside import Beside
from letterwise.compression.coder import columns, decode, encode, integers
from letterwise.compression.frozen import CHARS_PER_STREAM, Frozen, streams_for
from letterwise.compression.spelling import Spelled, from_varint, spell, to_varint, unspell, whole_characters
from letterwise.config import Config
from letterwise.config.presets import resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.evaluation.evaluate import evaluate
from letterwise.inference.windows import Windows
from letterwise.model import build, initialize

SHAPE = dict(n_layer=1, n_head=2, n_embd=16, block_size=16)
HOUSES = {
    "fast": Vocabulary("char", "\n abcdeé—"),
    "gpt2": Vocabulary("byte"),
    "classic": Vocabulary("char", "a"),
}


def model_of(preset: str) -> LanguageModel:
    """A model out of the blue, of the preset's bricks and a vocabulary of its own kind."""
    config: Config = resolve({"preset": preset, **SHAPE})
    vocabulary = HOUSES[preset]
    transformer = initialize(build(config.model, len(vocabulary)), 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in transformer.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    ids = np.random.default_rng(0).integers(0, len(vocabulary), 300)
    counts = counted(ids, len(vocabulary), config.model.counts_order) if config.model.counts_order else None
    data = {"fingerprint": "0" * 64, "sources": [], "bounds": [0, 0, 0]}
    return LanguageModel(ModelFile(config, vocabulary, weights_of(transformer), data, [], counts), device="cpu")


@pytest.fixture(scope="module", params=HOUSES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return model_of(request.param)


@given(content=st.one_of(st.binary(max_size=40), st.text("abé—\r\n x", max_size=40).map(str.encode)))
@settings(max_examples=40)
def test_any_bytes_come_back(model: LanguageModel, content: bytes) -> None:
    assert model.decompress(model.compress(content)) == content


@given(content=st.one_of(st.binary(), st.text().map(str.encode), st.text("ab\udce9é", max_size=9).map(
    lambda text: text.encode("utf-8", "surrogateescape"))))  # fmt: skip
def test_spelling_is_undone(content: bytes) -> None:
    for vocabulary in (*HOUSES.values(), Vocabulary("char", "ab\udce9")):
        assert unspell(spell(content, vocabulary), vocabulary, len(content)) == content


@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
def test_a_block_is_cut_between_characters(content: bytes) -> None:
    end = whole_characters(content)
    assert len(content) - 3 <= end <= len(content)
    assert end or not content
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    for cut in range(1, len(content)):
        end = whole_characters(content[:cut])
        oracle = next(e for e in range(cut, -1, -1) if content[e : e + 1] == b"" or content[e] & 0xC0 != 0x80)
        assert end == (oracle or cut)


@given(st.integers(0, 2**63 - 1), st.binary())
def test_numbers_come_back(number: int, rest: bytes) -> None:
    told = to_varint(number)
    assert from_varint(told + rest, 0) == (number, len(told))


def test_streams_share_a_text_in_order() -> None:
    for chars, streams in ((10, 3), (9, 3), (2, 4), (0, 1)):
        rounds = [column.tolist() for column in columns(chars, streams)]
        assert sorted(place for column in rounds for place in column) == list(range(chars))
        begins = rounds[0] if rounds else []
        for column in rounds:
            assert all(place in range(begin, begin + len(rounds)) for place, begin in zip(column, begins, strict=False))


def test_likely_or_not_nothing_is_impossible() -> None:
    certain = np.array([[1.0, 0.0, 0.0]])
    assert integers(certain).tolist() == [[2**24 + 1, 1, 1]]


class Given:
    """A predictor that says what it was told to say."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self.rows, self.place = probabilities, 0

    def probabilities(self) -> np.ndarray:
        return self.rows[self.place][None]

    def read(self, ids: np.ndarray) -> None:
        self.place += 1


def test_a_character_costs_what_its_probability_says() -> None:
    random = np.random.default_rng(0)
    rows = random.dirichlet(np.full(50, 0.2), 4000)
    ids = np.array([random.choice(50, p=row) for row in rows])
    packed = encode(Given(rows), ids, 1, 50)
    bits = -np.log2(rows[np.arange(4000), ids]).sum()
    assert bits <= 8 * len(packed) <= bits * 1.0005 + 64
    assert (decode(Given(rows), packed, 4000, 1, 50) == ids).all()


def test_what_is_decoded_beside_is_what_was_encoded_and_by_the_same_probabilities() -> None:
    """The bits are those of encoding alone, text after text; another probability is noticed, also where the ids come back."""
    random = np.random.default_rng(0)
    rows = random.dirichlet(np.full(9, 0.2), 1000)
    ids = np.array([random.choice(9, p=row) for row in rows])
    beside, alone = Beside(Given(rows), Given(rows), 9), Given(rows)
    for part in (ids[:700], ids[700:700], ids[700:]):
        packed = beside.encode(part)
        assert packed == encode(alone, part, 1, 9)
        assert (beside.decoded(packed, len(part), 1) == part).all()
        for other in ((packed + b"more", len(part), 1), (packed, len(part) + 1, 1), (packed, len(part), 2)):
            with pytest.raises(ValueError, match="these bits are others"):
                beside.decoded(*other)
    for change in (np.array([1e-6, 0, 0, 0, 0, 0, 0, 0, 0]), np.arange(9.0)):  # the latter decodes something else
        others = rows.copy()
        others[600] += change
        beside = Beside(Given(rows), Given(others), 9)
        with pytest.raises(ValueError, match="decoded by other probabilities"):
            beside.decoded(beside.encode(ids), 1000, 1)


def test_an_archive_whose_check_calculates_otherwise_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = Beside._decode

    def otherwise(self: Beside, *arguments) -> np.ndarray | None:
        self.decoding.read(np.array([0]))
        return decoded(self, *arguments)

    monkeypatch.setattr(Beside, "_decode", otherwise)
    with pytest.raises(UserError, match="does not come back the same"):
        HURT.compress(CONTENT, online=True)


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.inference.cpu.backend.MIN_WORK", 1)
    content, made = bytes(np.random.default_rng(1).choice(list(b"abcde \n"), 5000).astype(np.uint8)), []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        made.append(model_of("fast").compress(content))
        assert model_of("fast").decompress(made[0]) == content
    assert len(set(made)) == 1


def test_the_size_is_that_of_the_score(tiny, text_file: Path) -> None:
    """Within 1 % and 64 bytes, many streams and their first characters included."""
    content = text_file.read_bytes() * 10
    streams = streams_for(len(content))
    assert streams > 10
    text = text_file.read_text() * 10
    score = evaluate(tiny.text_model, tiny.vocabulary.encode(text), protocol="sliding")
    packed = tiny.compress(content)
    first = streams * 8  # bytes: what a stream's beginning costs beyond its place in the middle of the text
    assert len(packed) <= 1.01 * score.bits_per_char * score.chars / 8 + 64 + first
    assert tiny.decompress(packed) == content


def test_few_streams_for_short_texts() -> None:
    assert [streams_for(n) for n in (0, 1, CHARS_PER_STREAM * 2, 10**9)] == [1, 1, 2, 64]


def test_blocks_follow_each_other(model: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(archive, "BLOCK", 50)
    content = ("aé—b" * 30).encode() + b"\xff" * 60 + b"\xc3"
    (tmp_path / "in").write_bytes(content)
    packed = model.compress_file(tmp_path / "in", tmp_path / "packed")
    assert packed.compressed_bytes == (tmp_path / "packed").stat().st_size
    assert model.decompress_file(tmp_path / "packed", tmp_path / "out").original_bytes == len(content)
    assert (tmp_path / "out").read_bytes() == content


@given(data=st.data())
@settings(max_examples=60)
def test_whatever_is_hurt_is_refused(data: st.DataObject) -> None:
    model = HURT
    whole = model.compress(CONTENT)
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        hurt = whole[:place]
    else:
        hurt = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    with contextlib.suppress(UserError):
        assert model.decompress(hurt) == CONTENT  # the last bits of the last word may say nothing


HURT, CONTENT = model_of("fast"), b"abcde \xff abc" * 5


def test_what_a_file_claims_takes_no_room() -> None:
    """A block of all that a number can say is refused before anything is made of it."""
    header = HURT.compress(b"")[: archive.HEADER]
    for size in (2**20 + 1, 2**40, 2**63 - 1):
        hostile = header + b"".join(map(to_varint, (size, size, 1, size, size))) + bytes(40)
        with pytest.raises(UserError, match="damaged"):
            HURT.decompress(hostile)
    with pytest.raises(UserError, match="too long"):
        HURT.decompress(header + b"\xff" * 20)


def test_escapes_that_unpack_to_more_than_fits_are_cut() -> None:
    bomb = spell(b"\xff" * 1_000_000, HOUSES["fast"])
    assert len(unspell(Spelled(bomb.ids, bomb.escapes), HOUSES["fast"], 10)) < 1000


def test_another_model_is_refused_by_name() -> None:
    packed = model_of("gpt2").compress(b"ab")
    with pytest.raises(UserError, match=r"was compressed with model [0-9a-f]{16}, and this is model [0-9a-f]{16}"):
        HURT.decompress(packed)
    with pytest.raises(UserError, match="begins with b'hell'"):
        HURT.decompress(b"hello")
    for version in (1, 9):
        with pytest.raises(UserError, match=f"format {version}, and this Letterwise reads 2"):
            HURT.decompress(packed[:4] + bytes([version]) + packed[5:])


def test_what_does_not_come_back_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A predictor that never says the same twice is found out, and nothing is left on disk."""
    count = iter(range(10**6))
    said = Frozen.probabilities
    monkeypatch.setattr(Frozen, "probabilities", lambda self: np.roll(said(self), next(count) % 3, axis=-1))
    (tmp_path / "in").write_bytes(b"abcde" * 20)
    with pytest.raises(UserError, match="does not come back the same"):
        HURT.compress_file(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_that_changes_while_it_is_read_is_refused() -> None:
    """Also at equal length, also when it is put back in place behind what was read."""

    class Changing(io.BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            before = self.getvalue()
            super().seek(0)
            self.write(change(before))
            return super().seek(place, whence)

    for change in (lambda held: held + b"more", lambda held: held[:-1] + b"c", lambda held: held):
        target = io.BytesIO()
        if change(b"ab") == b"ab":
            HURT._compress(Changing(b"ab"), target, False)
            assert HURT.decompress(target.getvalue()) == b"ab"
        else:
            with pytest.raises(UserError, match=r"the file changed while it was read \(2 bytes\)"):
                HURT._compress(Changing(b"ab"), target, False)


def test_a_pipe_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be read again, and it gives what it has, piece by piece."""
    monkeypatch.setattr(archive, "BLOCK", 50)
    content = ("aé—b" * 30).encode() + b"\xff"
    os.mkfifo(tmp_path / "pipe")

    def pour() -> None:
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            for start in range(0, len(content), 7):
                pipe.write(content[start : start + 7])

    pouring = threading.Thread(target=pour)
    pouring.start()
    HURT.compress_file(tmp_path / "pipe", tmp_path / "packed")
    pouring.join()
    assert HURT.decompress(tmp_path / "packed") == content


def test_other_arithmetic_has_a_sentence_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of one logit is enough, and nothing is decoded then."""
    packed = {online: HURT.compress(CONTENT, online=online) for online in (False, True)}
    read = Windows.read

    def otherwise(self: Windows) -> None:
        read(self)
        self.logits = np.nextafter(self.logits, np.float32(0))

    monkeypatch.setattr(Windows, "read", otherwise)
    monkeypatch.setattr(archive, "read_block", None)
    for content in packed.values():
        with pytest.raises(UserError, match=r"gives other probabilities \(arithmetic [0-9a-f]{8}, here [0-9a-f]{8}\)"):
            HURT.decompress(content)


@pytest.mark.parametrize("online", [False, True])
def test_no_flipped_bit_no_cut_and_no_splice_gives_another_content(online: bool) -> None:
    content, model, step = b"abcde \xff abc" * 3, HURT, 29 if online else 3
    whole = model.compress(content, online=online)
    other = model.compress(content[::-1], online=online)
    bits = range(0, 8 * len(whole), step)
    hurts = [whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :] for bit in bits]
    places = range(0, len(whole), step)
    hurts += [whole[:place] for place in places] + [whole[:place] + other[place:] for place in places]
    ends = {"refused": 0, "right": 0}
    for hurt in hurts:
        try:
            assert model.decompress(hurt) in ((content, content[::-1]) if hurt == other else (content,))
            ends["right"] += 1
        except UserError:
            ends["refused"] += 1
    assert ends["refused"] > 5 * ends["right"]  # the last bits of the last word may say nothing


@pytest.mark.parametrize("preset", HOUSES)
def test_what_learns_comes_back_too(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across blocks, with characters that the model does not know between."""
    monkeypatch.setattr(archive, "BLOCK", 100)
    model = model_of(preset)
    for content in (b"", b"a", ("abcé—d\r\n" * 20).encode() + b"\xff"):
        packed = model.compress(content, online=True)
        assert model.decompress(packed) == content
