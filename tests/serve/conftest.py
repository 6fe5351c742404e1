"""One server for the tests that do not stop it: three small models, and the runs that made them."""

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server is an extra: pip install 'letterwise[serve]'")
pytest.importorskip("openai", reason="the real client is what the server is tested with: pip install openai")

import httpx
from browser import started
from serve.browsing import Window
from serve.running import Running, running
from serve.visiting import Visit
from serve.writing import setting


@pytest.fixture(autouse=True, scope="session")
def patient() -> Iterator[None]:
    """Requests wait two minutes for an answer: the five seconds that httpx waits pass on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("request", "get", "post", "delete", "stream"):
            patch.setattr(httpx, name, functools.partial(getattr(httpx, name), timeout=120))
        yield


@pytest.fixture(scope="session")
def byte_model(text_file: Path, tmp_path_factory: pytest.TempPathFactory):
    """A `LanguageModel` of bytes."""
    import letterwise

    shape = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=8, max_iters=30, warmup_iters=2, eval_interval=30)
    return letterwise.train(text_file, vocab="byte", out=tmp_path_factory.mktemp("run") / "bytes", **shape)


@pytest.fixture(scope="session")
def server(tiny, tiny_lines, byte_model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of `tiny` (the default), `lines` and `bytes`; its runs are that of `tiny`."""
    folder = tmp_path_factory.mktemp("serve")
    files = {"tiny": tiny, "lines": tiny_lines, "bytes": byte_model}
    for name, model in files.items():
        model.save(folder / f"{name}.safetensors")
    with running(folder, "--model_path", *(f"{name}.safetensors" for name in files), "--runs", str(tiny.run_dir.parent)) as it:
        yield it


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.fixture
def window(chromium: Any, server: Running) -> Iterator[Window]:
    window = Window(chromium, server.url)
    yield window
    window.close()


@pytest.fixture
def page(window: Window) -> Any:
    """Write, open and ready, with a fixed seed."""
    page = window.open()
    page.get_by_role("button", name="Go on").and_(page.locator(":enabled")).wait_for()
    setting(page, seed=7, max_tokens=60)
    return page


@pytest.fixture(scope="session")
def served(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of `tiny`, with two runs of its own: one has a name that would be markup if it could."""
    folder = tmp_path_factory.mktemp("looked")
    for name in ("first", "<b>second"):
        shutil.copytree(tiny.run_dir, folder / "runs" / name)
    tiny.save(folder / "tiny.safetensors")
    with running(folder, "--model_path", "tiny.safetensors", "--runs", "runs") as server:
        yield server


@pytest.fixture
def visit(chromium: Any, served: Running) -> Iterator[Callable[..., Visit]]:
    """Opens a view of the page."""
    visits: list[Visit] = []

    def visiting(view: str, width: int = 1400) -> Visit:
        visits.append(Visit(chromium, served.url, view, width))
        return visits[-1]

    yield visiting
    for one in visits:
        one.close(refused=True)
