"""Models by name: loaded once, again when their file changes, and unloaded when nobody uses them and memory is short."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from letterwise.checkpoint import model_file
from letterwise.errors import UserError
from letterwise.serve import library
from letterwise.serve.config import PlaceConfig, ServeConfig
from letterwise.serve.errors import Refused
from letterwise.serve.facts import facts_of
from letterwise.serve.library import Library
from letterwise.serve.metrics import Metrics


def within(place: PlaceConfig, ask: Callable[[Library], Awaitable[Any]]) -> Any:
    """What is asked of a library, which is closed then."""

    async def run() -> Any:
        models = Library(ServeConfig(place), Metrics())
        try:
            return await ask(models)
        finally:
            models.close()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes is seen at once."""
    monkeypatch.setattr(library, "LOOK_S", -1.0)


@pytest.fixture
def files(tiny, tmp_path: Path) -> tuple[str, ...]:
    """The same model, twice."""
    for name in ("one", "two"):
        tiny.save(tmp_path / f"{name}.safetensors")
    return tuple(str(tmp_path / f"{name}.safetensors") for name in ("one", "two"))


def test_a_model_is_loaded_once_for_all(files: tuple[str, ...]) -> None:
    async def ask(models: Library) -> None:
        async def use() -> Any:
            async with models.model("one") as served:
                await asyncio.sleep(0.05)
                return served

        served = await asyncio.gather(*(use() for _ in range(8)))
        assert len({id(each) for each in served}) == 1
        assert len(models.loaded) == 1

    within(PlaceConfig(model_path=files), ask)


def test_a_file_that_changed_is_loaded_again(files: tuple[str, ...], tiny_lines) -> None:
    async def ask(models: Library) -> None:
        async with models.model("one") as before:
            tiny_lines.save(files[0])
            async with models.model("one") as after:
                assert len(after.model.vocabulary) != len(before.model.vocabulary)
            assert before.scheduler.thread.is_alive()  # who holds it goes on with it
        assert not before.scheduler.thread.is_alive()

    within(PlaceConfig(model_path=files), ask)


def test_what_is_idle_goes_when_memory_is_short(files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(models: Library) -> None:
        async with models.model("one"):
            pass
        async with models.model("two"):
            await models.make_room()
            assert len(models.loaded) == 2
            monkeypatch.setattr(library, "memory_available", lambda: 0)
            await models.make_room()
            assert len(models.loaded) == 2  # it was used a moment ago
            monkeypatch.setattr(library, "IDLE_S", 0.0)
            await models.make_room()
            assert [served.name for served in models.loaded.values()] == ["two"]  # which is in use
        async with models.model("one") as again:
            assert again.model.generate("The", num_tokens=3)

    within(PlaceConfig(model_path=files), ask)


def test_names(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/model.safetensors", "b/a.pth", "c/other.safetensors"):
        (tmp_path / name).parent.mkdir()
        tiny.save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert list(library.named(["a/model.safetensors", "b/a.pth", "a", "c/other.safetensors"])) == ["a", "a-2", "a-3", "other"]
    with pytest.raises(UserError, match=r"--model_path 'd.pth' is not there"):
        library.named(["d.pth"])


def test_runs_appear_by_themselves(tiny, tmp_path: Path) -> None:
    async def ask(models: Library) -> None:
        with pytest.raises(Refused, match="there is no model yet: train one") as refused:
            async with models.model():
                pass
        assert refused.value.status == 404
        assert await models.listing() == []
        shutil.copytree(tiny.run_dir, tmp_path / "poems")
        assert [entry["id"] for entry in await models.listing()] == ["poems"]
        async with models.model() as served:
            assert served.name == "poems"
        for name in ("../poems", "poems/../poems", str(tmp_path / "poems"), "poems/model.safetensors", ""):
            with pytest.raises(Refused, match="there is no model"):
                async with models.model(name):
                    pass

    within(PlaceConfig(runs=str(tmp_path)), ask)


def test_the_beginning_of_a_file_tells_all(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tiny.pth", "tiny.safetensors"):
        tiny.save(tmp_path / name)
    whole = facts_of(tmp_path / "tiny.pth")
    monkeypatch.setattr(model_file, "unpack", None)  # whoever reads the weights, fails
    assert facts_of(tmp_path / "tiny.safetensors") == whole
    assert whole["counts"] == (tiny.config.model.counts_order > 0)


def test_a_damaged_file_is_not_listed(files: tuple[str, ...]) -> None:
    Path(files[0]).write_bytes(Path(files[0]).read_bytes()[:-7])

    async def ask(models: Library) -> None:
        assert [entry["id"] for entry in await models.listing()] == ["two"]
        with pytest.raises(Refused, match=r"damaged|is not a model file") as refused:
            async with models.model("one"):
                pass
        assert refused.value.status == 503

    within(PlaceConfig(model_path=files), ask)


def test_what_was_there_goes_on_where_the_file_is_damaged_or_gone(files: tuple[str, ...]) -> None:
    async def ask(models: Library) -> None:
        async with models.model("one") as before:
            pass
        for change in (lambda: Path(files[0]).write_bytes(b"junk"), lambda: Path(files[0]).unlink()):
            change()
            async with models.model("one") as after:
                assert after is before
        async with models.model() as default:
            assert default.name == "one"
        models.loaded.clear()
        async with models.model() as default:
            assert default.name == "two"

    within(PlaceConfig(model_path=files), ask)


def test_a_name_that_is_no_text_is_spelled(tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.run_dir, os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))

    async def ask(models: Library) -> None:
        assert [entry["id"] for entry in await models.listing()] == ["bad\ufffd"]
        async with models.model("bad\ufffd") as served:
            assert served.model.generate("The", num_tokens=1)

    within(PlaceConfig(runs=str(tmp_path)), ask)
