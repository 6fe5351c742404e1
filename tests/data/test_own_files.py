"""What is never input: run directories, model files, caches; empty names; files that only a stranger's model names."""

import io
import json
import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import letterwise
from letterwise.compiling import store
from letterwise.config import DataConfig
from letterwise.data import prepare as preparing
from letterwise.data.cache import entry_crc32, reopen
from letterwise.data.prepare import prepare, training_text
from letterwise.data.reading import corpus
from letterwise.data.reading.corpus import open_corpus
from letterwise.data.reading.own_files import RUN_FILES
from letterwise.data.suffix_array import suffixes_of
from letterwise.errors import UserError
from letterwise.training.run_directory import MODEL_PATH, RunDirectory


def names(*inputs: object, notes: list[str] | None = None, **options) -> list[str]:
    """The files that some inputs stand for."""
    opened = open_corpus(DataConfig(input_file=tuple(map(str, inputs)), **options), (notes if notes is not None else []).append)
    return [Path(source.name).name for source in opened.sources]


def test_a_run_inside_the_text_is_left_out(tmp_path: Path, tiny, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poems = tmp_path / "poems"
    monkeypatch.setenv("LETTERWISE_CACHE", str(poems / "cache"))
    (poems / "sub").mkdir(parents=True)
    (poems / "a.txt").write_text("a poem\n" * 30)
    (poems / "sub/b.txt").write_text("another\n" * 30)
    before = prepare(DataConfig(input_file=(str(poems),)), note=print).fingerprint
    shutil.copytree(tiny.run_dir, poems / "out/run")
    (poems / "out/run/sample.txt").write_text("what it wrote")
    shutil.copy(tiny.run_dir / "model.safetensors", poems / "best.safetensors")
    shutil.copy(tiny.run_dir / "model.safetensors", poems / "sub/renamed.txt")
    notes: list[str] = []
    assert names(poems, notes=notes) == ["a.txt", "b.txt"]
    assert "left out" in notes[0] and "out/run" in notes[0]  # noqa: PT018
    assert names(poems / "**/*.txt") == ["a.txt", "sample.txt", "b.txt"]  # of a run, what somebody put there
    assert names(poems, vocab="byte") == ["a.txt", "b.txt"]
    assert prepare(DataConfig(input_file=(str(poems),)), note=print).fingerprint == before  # so --resume finds the text it had
    shutil.copytree(tiny.run_dir, poems, dirs_exist_ok=True)  # --out . : the folder is the run directory itself
    for folder in ("shards-0123abcd", "tensorboard", "wandb"):
        (poems / folder).mkdir()
        (poems / folder / "events").write_text("of the run")
    assert names(poems) == ["a.txt", "b.txt"]
    with pytest.raises(UserError, match=r"is a model file.*--vocab byte"):
        names(poems / "best.safetensors")
    assert names(poems / "best.safetensors", vocab="byte") == ["best.safetensors"]
    with pytest.raises(UserError, match="no text in it"):
        names(tiny.run_dir)


@pytest.mark.parametrize("where", [".", "cache"])
def test_caches_inside_the_text_are_left_out(where: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code among them, which a model of bytes would learn without a word."""
    monkeypatch.setenv("LETTERWISE_CACHE", str(tmp_path / where))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "a.txt").write_text("a poem\n" * 30)
    store.write(store.folder() / "forward-0", b"machine code")
    for name in ("streams/x", "datasets/y"):
        (tmp_path / where / name).parent.mkdir(parents=True)
        (tmp_path / where / name).write_text("kept")
    assert names(tmp_path, vocab="byte") == names(tmp_path) == ["a.txt"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    store.write(store.folder() / "forward-0", b"machine code")
    if where != ".":
        assert names(tmp_path, vocab="byte") == ["a.txt"]


def test_the_names_of_a_runs_files_are_those_that_training_gives() -> None:
    run = RunDirectory(Path("run"), Path("run/model.safetensors"))
    assert {path.name for path in run.files} - {"model.safetensors"} | {".lock", MODEL_PATH} == set(RUN_FILES)


@pytest.mark.parametrize("flag", ["input_file", "val_file", "dataset"])
def test_an_empty_name_is_refused_with_its_flag(flag: str) -> None:
    with pytest.raises(UserError, match=f"{flag} has an empty name.*--{flag}"):
        DataConfig(**{flag: "" if flag == "dataset" else ("a", "")})


def test_binary_files_and_addresses_are_refused_where_they_are_named(tmp_path: Path) -> None:
    for content, words in {
        b"\x1f\x8b\x08 packed": "gzip",
        bytes(257) + b"ustar" + bytes(300): "tar",
        b"%PDF-1.7\n": "PDF",
        b"LTRW\1": "decompress",
        b"text\0text": "binary data",
    }.items():
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(UserError, match=rf"{words}.*--vocab byte.*--encoding"):
            names(tmp_path / "t")
        assert names(tmp_path / "t", encoding="latin-1") == names(tmp_path / "t", vocab="byte") == ["t"]
    for address in ("https://example.org/a.txt", "s3://bucket/a.txt"):
        with pytest.raises(UserError, match=r"is an address: fetch it first"):
            names(address)


def test_names_that_no_file_has(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("a\0b", "x" * 5000, "\udcff", str(tmp_path / "file/inner"), str(tmp_path / ("x" * 300)), "*\0"):
        with pytest.raises(UserError):
            names(name)


def test_names_that_no_model_and_no_run_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for long in ("x" * 300, "x" * 5000):
        with pytest.raises(UserError, match="too long"):
            letterwise.load(tmp_path / f"{long}.safetensors")
        with pytest.raises(UserError, match="too long"):
            letterwise.train(preset="counts", out=tmp_path / long)
    monkeypatch.setattr(Path, "stat", forbidden)  # as in a folder that may not be searched, also for root
    with pytest.raises(UserError, match=r"m\.safetensors.*Permission denied"):
        letterwise.load(tmp_path / "m.safetensors")
    with pytest.raises(UserError, match="Permission denied"):
        letterwise.train(preset="counts", out=tmp_path / "run")
    with pytest.raises(UserError, match=r"t\.txt.*Permission denied"):
        names(tmp_path / "t.txt")


def test_stdin_that_finds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        name = "x"

        def write(self, content: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(corpus.tempfile, "TemporaryFile", Full)
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": io.BytesIO(b"text")}))
    with pytest.raises(UserError, match=r"'stdin'.*No space left on device.*TMPDIR"):
        names("-")


def test_stdin_without_end_leaves_room_and_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readers of what is kept do not disturb each other; and what ends the process at once, leaves no file."""

    class Endless:
        def read(self, size: int) -> bytes:
            return b"the cat\n" * (size // 8)

    monkeypatch.setattr(corpus.tempfile, "tempdir", str(tmp_path))
    kept = corpus._spooled("stdin", b"abc", io.BytesIO(b"def"), print)
    assert list(tmp_path.iterdir()) == []
    one, other = kept.pieces(), kept.pieces()
    assert [next(one), next(other)] == [b"abcdef"] * 2
    assert [*one, *other] == []
    notes: list[str] = []
    disk = shutil.disk_usage(tmp_path)
    looks = iter([*[disk.total // 2] * 9, disk.total // 21])
    monkeypatch.setattr(corpus.shutil, "disk_usage", lambda path: disk._replace(free=next(looks)))
    monkeypatch.setattr(corpus, "NOTED", 3 * corpus.CHUNK)
    with pytest.raises(UserError, match="the disk is nearly full"):
        corpus._spooled("stdin", b"abc", Endless(), notes.append)
    assert len(notes) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_only_a_model_names_is_regular_and_small_and_compared_first(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "t.txt"
    text.write_text("abcab\n" * 20)
    own = prepare(DataConfig(input_file=(str(text),)), note=print)
    asked = (own.fingerprint, own.vocabulary, len(own.ids), print)
    shutil.rmtree(cache)
    assert training_text(DataConfig(input_file=(str(text),)), *asked).ids.tolist() == own.ids.tolist()
    shutil.rmtree(cache)
    os.mkfifo(tmp_path / "pipe")
    for name in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(UserError, match="is no regular file"):
            training_text(DataConfig(input_file=(str(name),)), *asked)
    with pytest.raises(UserError, match="stdin"):
        training_text(DataConfig(input_file=("-",)), *asked)
    (tmp_path / "other.txt").write_text("something else, of which nothing may be kept")
    with pytest.raises(UserError, match="changed since training"):
        training_text(DataConfig(input_file=(str(tmp_path / "other.txt"),)), *asked)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**30)
    monkeypatch.setattr(preparing, "SLACK_BYTES", 2**10)
    with pytest.raises(UserError, match="far larger"):
        training_text(DataConfig(input_file=(str(tmp_path / "huge"),), encoding="latin-1"), *asked)
    assert not cache.exists()


def forged(folder: Path, ids: np.ndarray, **facts: object) -> None:
    """Change a kept entry; its checksum is right afterwards."""
    told = json.loads((folder / "meta.json").read_bytes()) | facts
    del told["crc32"]
    (folder / "ids.bin").write_bytes(ids.tobytes())
    (folder / "meta.json").write_text(json.dumps({**told, "crc32": entry_crc32(zlib.crc32(ids.tobytes()), told)}))


def test_a_kept_text_is_checked_whatever_its_checksum_says(tmp_path: Path, cache: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text("abcab\n" * 20)
    config = DataConfig(input_file=(str(text),))
    own = prepare(config, note=print)
    good = np.array(own.ids)
    high = good.copy()
    high[7] = len(own.vocabulary)
    for ids, facts in [
        (high, {}), (good, {"bounds": [-5, 100, 120]}), (good, {"bounds": [5, 100, 500]}), (good, {"bounds": [100, 50, 120]}),
        (good, {"bounds": [1, 2]}), (good, {"bounds": [1.0, 2, 120]}), (good, {"lines": True}), (good, {"lines": 1}),
        (good, {"strangers": True}), (good, {"sources": [1]}),
    ]:  # fmt: skip
        forged(own.folder, ids, **facts)
        assert reopen(own.fingerprint) is None, facts
        assert prepare(config, note=print).ids.tolist() == good.tolist()  # made anew
    forged(own.folder, good, vocabulary={"kind": "char", "characters": "\nxyz"})
    assert training_text(config, own.fingerprint, own.vocabulary, len(good), print).vocabulary == own.vocabulary
    assert reopen(own.fingerprint).vocabulary == own.vocabulary  # and the foreign one is gone


def test_suffixes_are_checked_whatever_their_checksum_says(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t.txt").write_text("abcab\n" * 20)
    text = prepare(DataConfig(input_file=(str(tmp_path / "t.txt"),)), note=print)
    good = np.concatenate([order for *_, order in suffixes_of(text).pieces])
    place = text.folder / "suffixes.bin"
    for at, value in [(0, -1), (3, len(good)), (5, 2**31 - 1), (0, good[1]), (None, None)]:
        wrong = good.copy() if at is not None else good[:-1]
        if at is not None:
            wrong[at] = value
        place.write_bytes(wrong.tobytes())
        facts = json.loads((text.folder / "suffixes.json").read_bytes())
        del facts["crc32"]
        seal = entry_crc32(zlib.crc32(wrong.tobytes()), facts)
        (text.folder / "suffixes.json").write_text(json.dumps({**facts, "crc32": seal}))
        assert np.concatenate([order for *_, order in suffixes_of(text).pieces]).tolist() == good.tolist()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_cache_that_others_can_write_is_not_used(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.txt").write_text("abcab\n" * 20)
    config, notes = DataConfig(input_file=(str(tmp_path / "t.txt"),)), list[str]()
    own = prepare(config, note=notes.append)
    assert (cache / "streams").stat().st_mode & 0o777 == 0o700
    assert reopen(own.fingerprint)
    for mode in (0o777, 0o770):
        (cache / "streams").chmod(mode)
        assert reopen(own.fingerprint, notes.append) is None
        assert "can be written by others" in notes[-1]
    elsewhere = prepare(config, note=notes.append)
    assert cache not in elsewhere.folder.parents
    (cache / "streams").chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    if os.getuid() != 0:  # what root owns is believed
        assert reopen(own.fingerprint, notes.append) is None
        assert "belongs to somebody else" in notes[-1]


def test_the_encoding_is_the_commands_and_never_the_models(tmp_path: Path, tiny, cache: Path) -> None:
    odd = letterwise.api.LanguageModel(
        replace(tiny.file, config=replace(tiny.config, data=replace(tiny.config.data, encoding="cp037")))
    )
    (tmp_path / "t.txt").write_text("The cat sat on the log. ")
    (tmp_path / "wide.txt").write_bytes("The cat sat on the log. ".encode("utf-16-be"))
    (tmp_path / "odd.txt").write_bytes("The cat sat on the log. ".encode("cp037"))
    told = {odd.evaluate(tmp_path / "t.txt").nats_per_char, odd.evaluate(tmp_path / "wide.txt").nats_per_char}
    told |= {odd.evaluate(tmp_path / "odd.txt", encoding="cp037").nats_per_char}
    assert told == {tiny.evaluate(tmp_path / "t.txt").nats_per_char}
    assert letterwise.api.read_text(tmp_path / "odd.txt", encoding="cp037") == "The cat sat on the log. "
    (tmp_path / "bytes").write_bytes(b"a\xff\0b")
    assert letterwise.api.read_text(tmp_path / "bytes", vocab="byte") == "a\udcff\0b"


def test_many_different_characters_are_noted(tmp_path: Path, cache: Path) -> None:
    notes: list[str] = []
    (tmp_path / "t.txt").write_text("".join(map(chr, range(0x10000, 0x10000 + 2**15 + 1))))
    prepare(DataConfig(input_file=(str(tmp_path / "t.txt"),)), note=notes.append)
    assert any("32,769 different characters" in note and "--vocab byte" in note for note in notes)
