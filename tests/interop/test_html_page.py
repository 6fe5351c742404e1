"""The page in a real browser, offline: it writes what `letterwise generate` writes, and foreign characters are only text."""

import codecs
import math
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import started
from interop.conftest import Trained
from interop.made_models import made

import letterwise
from letterwise.checkpoint.weights import restore
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.engine import Sequence
from letterwise.inference.torch_backend import TorchBackend
from letterwise.interop.exporting import html
from letterwise.interop.exporting.page.assemble import inert
from letterwise.interop.exporting.page.describe import description
from letterwise.interop.exporting.page.rounding import restored, rounded
from letterwise.progress import Progress

HOSTILE = "</script><!--<img src=x onerror=window.hacked=1>\u2028"
STRANGE = Vocabulary("char", "".join(sorted(set(HOSTILE + "\0\n\r\x7f\u0301\u200d\u202e\ud83d\ude00\ufeff\U0001f468"))))


class Notes(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def exported(model: letterwise.LanguageModel, folder: Path, **options: Any) -> tuple[Path, list[str]]:
    """The page of a model, and what was said of it."""
    progress = Notes()
    model.export("html", folder, progress=progress, **options)
    return folder / "index.html", progress.notes


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser."""
    with started() as browser:
        yield browser


class Opened:
    """A page that is open and awake, and all that it asked for and complained of."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.context = browser.new_context(viewport={"width": 360, "height": 740})
        self.context.set_offline(True)
        self.page, self.requests, self.errors = self.context.new_page(), list[str](), list[str]()
        self.page.set_default_timeout(120_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#go:enabled")

    def ask(self, prompt: str = "", *, button: str = "#go", **fields: Any) -> str:
        """Fill the form, press a button, and wait. The text, prompt included, as its code points spell it."""
        self.page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        self.page.fill("#prompt", prompt)
        for name, value in fields.items():
            if isinstance(value, bool):
                self.page.set_checked(f"#{name}", value)
            else:
                self.page.fill(f"#{name}", str(value))
        self.page.click(button)
        self.page.wait_for_selector("#go:enabled")
        return self.text()

    def text(self) -> str:
        return "".join(map(chr, self.page.evaluate("[...text.text].map((c) => c.codePointAt(0))")))

    def status(self) -> str:
        return self.page.inner_text("#status")

    def close(self) -> None:
        """Nothing was asked of any network, and nobody complained."""
        self.context.close()
        assert [url for url in self.requests if not url.startswith(("file:", "blob:"))] == []
        assert self.errors == []


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the page of a model."""
    pages: list[Opened] = []

    def opening(model: letterwise.LanguageModel, **options: Any) -> Opened:
        path, _ = exported(model, tmp_path / f"page{len(pages)}", **options)
        pages.append(Opened(chromium, path))
        return pages[-1]

    yield opening
    for page in pages:
        page.close()


def rounded_alike(model: letterwise.LanguageModel, weights: Any) -> letterwise.LanguageModel:
    """The same model with the weights that its page has."""
    near = restored(rounded(model.file.weights, weights))
    return letterwise.LanguageModel(replace(model.file, weights=near), "cpu")


@pytest.mark.browser
@pytest.mark.parametrize("preset", ["fast", "classic", "gpt2", "llama"])
def test_the_page_writes_what_generate_writes(preset: str, trained: Trained, opened: Any) -> None:
    """Far past a full context of 256, where new windows begin."""
    model, prompt = trained[preset], "abc "
    wanted = rounded_alike(model, "float16").generate(prompt, num_tokens=700, greedy=True)
    assert opened(model, weights="float16").ask(prompt, length=700, greedy=True) == prompt + wanted


@pytest.mark.browser
def test_the_thread_has_simd(opened: Any) -> None:
    """Its policy lets the page's thread compile the few instructions that make it fast."""
    (worker,) = opened(made("gpt2")).page.workers
    assert worker.evaluate("windows.transformer.memory.compiled !== null")


@pytest.mark.browser
def test_a_prompt_may_be_empty_and_long(trained: Trained, opened: Any) -> None:
    model = trained["fast"]
    page, long = opened(model, weights="float32"), model.generate("a", num_tokens=900, rng_seed=1)
    for prompt in ("", long):
        wanted = model.generate(prompt, num_tokens=50, greedy=True)
        assert page.ask(prompt, length=50, greedy=True) == prompt + wanted


@pytest.mark.browser
def test_stopped_and_continued_is_never_stopped(trained: Trained, opened: Any) -> None:
    page, options = opened(trained["fast"]), dict(seed=5, temperature=1.2, top_p=0.95, top_k=9, min_p=0.01)
    whole = page.ask("abc", length=300, **options)
    assert len(whole) == 303
    assert page.ask("abc", length=100, **options) == whole[:103]
    page.ask("abc", length=200, button="#more")
    assert page.text() == whole
    assert page.ask("abc", length=300, **options | {"seed": 6}) != whole

    page.page.fill("#length", "100000")
    page.page.click("#go")
    page.page.wait_for_selector("#text b:nth-child(40)")
    page.page.press("#stop", "Enter")  # a click would wait until nothing moves, and the text grows
    page.page.wait_for_selector("#go:enabled")
    assert 40 <= len(page.text()) < 100_000
    assert "Seed 6" in page.status()


@pytest.mark.browser
def test_what_each_character_costs(trained: Trained, opened: Any) -> None:
    """The same as the engine says, character by character; what the model has never seen is left out, and said."""
    model = trained["fast"]
    page, text = opened(model, weights="float32"), model.generate("a", num_tokens=300, rng_seed=2)
    page.page.check("input[value=score]", force=True)
    page.page.fill("#prompt", text[:200] + "é" + text[200:])
    page.page.click("#go")
    page.page.wait_for_selector("#go:enabled")
    assert page.text() == text[:200] + "é" + text[200:]
    bits = page.page.evaluate("text.items.map((item) => item.bits)")
    assert bits[0] is None  # nothing comes before it
    assert bits.pop(200) is None

    sequence, wanted, ids = Sequence(TorchBackend(restore(model.file), model.file.counts)), [], model.vocabulary.encode(text)
    for id, following in pairwise(ids.tolist()):
        row = sequence.read([id]).astype(np.float64)
        wanted.append((math.log(np.exp(row - row.max()).sum()) + row.max() - row[following]) / math.log(2))
    np.testing.assert_allclose(bits[1:], wanted, atol=1e-3)
    mean = sum(bits[1:]) / (len(text) - 1)
    assert page.status() == f"Not in its alphabet, and left out: é. {len(text) - 1} characters, {mean:.3f} bits each."


@pytest.mark.browser
def test_models_of_lines(opened: Any) -> None:
    """Each line begins anew."""
    plain = made("llama")
    lines = letterwise.LanguageModel(replace(plain.file, config=plain.file.config.with_values({"lines": True})), "cpu")
    page = opened(lines, weights="float32")
    for prompt in ("", "ab", "ab\ncd"):
        assert page.ask(prompt, length=60, greedy=True) == prompt + lines.generate(prompt, num_tokens=60, greedy=True)
    page.page.check("input[value=score]", force=True)
    page.ask("ab\nab")
    first, second = page.page.evaluate("[text.items.slice(0, 2), text.items.slice(3)].map((a) => a.map((i) => i.bits))")
    assert first == second


@pytest.mark.browser
def test_bytes_become_characters(opened: Any) -> None:
    """What is no UTF-8 is shown as U+FFFD; a character's bytes have a price together."""
    model = made("gpt2", Vocabulary("byte"))
    page = opened(model, weights="float32")
    text = "\U0001f468é"
    page.ask(text, length=40, greedy=True)
    wanted = (text + model.generate(text, num_tokens=40, greedy=True)).encode("utf-8", "surrogateescape")
    assert page.text() == codecs.getincrementaldecoder("utf-8")("replace").decode(wanted)  # a character cut short waits
    assert "\ufffd" in page.text()
    page.page.check("input[value=score]", force=True)
    assert page.ask("aé€") == "aé€"
    assert page.page.evaluate("text.items.map((item) => item.steps.length)") == [0, 2, 3]


@pytest.mark.browser
def test_hostile_characters_are_only_text(opened: Any) -> None:
    """In the vocabulary, in what is written, in the names of sources, and in the prompt."""
    plain = made("gpt2", STRANGE)
    record = plain.file.data | {"sources": [HOSTILE, "/home/me/\ud800<b>\u202e"]}
    model = letterwise.LanguageModel(replace(plain.file, data=record), "cpu")
    page = opened(model, weights="float32")
    written = page.ask(HOSTILE, length=400, seed=1, temperature=3)
    assert written.startswith(HOSTILE)
    assert len(set(written)) > len(STRANGE) * 0.8
    assert page.page.evaluate("window.hacked") is None
    assert (
        page.page.evaluate("[...document.querySelectorAll('#text *, #title *, #facts *')].map((e) => e.tagName)").count("B")
        > 100
    )
    kinds = page.page.evaluate("[...new Set([...document.querySelectorAll('body *')].map((e) => e.localName))]")
    assert not {"img", "iframe", "svg"} & set(kinds)
    shown = page.page.evaluate("document.getElementById('text').textContent")
    assert not set("\u202e\u2028\0\ufeff") & set(shown)  # they have no shape, or turn what is around them: a sign is shown
    assert page.page.inner_text("#title") == r"script><!--<img src=x onerror=window.hacked=1>\u2028, \ud800<b>\u202e"


@pytest.mark.browser
def test_a_character_shows_what_else_could_have_come(trained: Trained, opened: Any) -> None:
    """By pointing at it, and by the keyboard alone."""
    page = opened(trained["fast"])
    page.ask("abc", length=30, seed=1)
    assert page.page.is_hidden("#details")
    page.page.hover("#text b:nth-child(10)")
    step = page.page.evaluate("text.items[9].steps[0]")
    assert page.page.locator("#others li").count() == 6
    assert f"{-math.log2(step['p']):.2f} bits" in page.page.inner_text("#how")
    page.page.focus("#text")
    page.page.keyboard.press("Home")
    assert page.page.inner_text("#how") == "given, not predicted"
    for _ in range(3):
        page.page.keyboard.press("ArrowRight")
    step = page.page.evaluate("text.items[3].steps[0]")
    assert f"{-math.log2(step['p']):.2f} bits" in page.page.inner_text("#how")
    page.page.keyboard.press("Escape")
    assert page.page.is_hidden("#details")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360  # a phone


@pytest.mark.browser
def test_accents_are_drawn_on_their_letters(opened: Any) -> None:
    """Two characters, predicted one after the other, in one place: their bits add up."""
    page = opened(made("gpt2", Vocabulary("char", "\nae\u0301\u200d\U0001f468\U0001f469")))
    page.page.check("input[value=score]", force=True)
    page.ask("ae\u0301a\U0001f468\u200d\U0001f469a")
    spans = page.page.evaluate("[...document.querySelectorAll('#text b')].map((b) => b.textContent)")
    assert spans == ["a", "e\u0301", "a", "\U0001f468\u200d\U0001f469", "a"]
    assert page.page.evaluate("text.items.map((item) => item.steps.length)") == [0, 2, 1, 3, 1]
    assert page.page.evaluate("text.items.reduce((sum, item) => sum + item.bits, 0) - text.bits") == pytest.approx(0, abs=1e-9)


@pytest.mark.browser
def test_a_senseless_value_is_not_sent(opened: Any) -> None:
    """The browser says what is wrong, also where the field was folded away."""
    page = opened(made("gpt2"))
    written = page.ask("a", length=10, seed=1)
    for button in ("#go", "#more"):
        page.page.fill("#top_p", "1.5")
        page.page.evaluate("document.getElementById('options').open = false")
        page.page.click(button)
        assert page.page.evaluate("document.getElementById('options').open")
        assert page.text() == written
    page.page.check("input[value=score]", force=True)  # where no field of it matters
    assert page.ask("abc") == "abc"


@pytest.mark.browser
def test_nan_is_said(opened: Any) -> None:
    model = made("gpt2")
    model.file.weights["norm.weight"][:] = np.float32(3e38)
    page = opened(model, weights="float32")
    page.page.click("#go")
    page.page.wait_for_selector("#status:has-text('no probabilities')")


def test_what_rounding_costs_is_measured_or_said_to_be_unknown(trained: Trained, tmp_path: Path) -> None:
    model = trained["fast"]
    path, notes = exported(model, tmp_path / "page")
    assert "Its weights are rounded to float16; that costs " in notes[-1]
    assert notes[-1].rpartition("weights are ")[2].rstrip(".") in path.read_text()
    assert "as they were trained" in exported(model, tmp_path / "exact", weights="float32")[1][-1]
    assert "was not measured" in exported(made("gpt2"), tmp_path / "gone")[1][-1]
    assert exported(model, tmp_path / "small", weights="int8")[0].stat().st_size < path.stat().st_size


def test_the_title_has_some_of_the_sources(tmp_path: Path) -> None:
    names = [f"/home/me/poem{i}.txt" for i in range(50)]
    plain = made("gpt2").file
    base = {
        "model": "1" * 64,
        "fingerprint": "2" * 64,
        "sources": ["dataset:python-docs"],
        "vocabulary": plain.vocabulary.to_json(),
    }
    for sources, title in ((names, "poem0.txt, poem1.txt, poem2.txt and 48 others"), (["-"], "python-docs")):
        assert description(replace(plain, data=plain.data | {"sources": sources, "lineage": [base]}))["title"] == title
    assert description(replace(plain, data=plain.data | {"sources": []}))["title"] == "a text without a name"


def test_a_page_larger_than_browsers_open_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_PAGE", 1000)
    with pytest.raises(UserError, match="train a smaller model"):
        exported(made("gpt2"), tmp_path / "page")
    assert list(tmp_path.iterdir()) == []


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def test_nothing_of_a_model_is_markup(tmp_path: Path) -> None:
    """A hostile model's page has the tags of a tame one's, a policy without exceptions, and no address of anything else."""
    plain, tame = made("gpt2", STRANGE), exported(made("gpt2"), tmp_path / "tame")[0].read_text()
    record = plain.file.data | {"sources": [HOSTILE, "{{script}}", "/secret/folder/name.txt"]}
    hostile = exported(letterwise.LanguageModel(replace(plain.file, data=record), "cpu"), tmp_path / "page")[0].read_text()
    assert Tags(hostile).found == Tags(tame).found
    assert hostile.isascii() == tame.isascii()
    assert "secret" not in hostile
    assert "name.txt" in hostile
    (policy,) = (attrs[1][1] for tag, attrs in Tags(hostile).found if attrs[:1] == [("http-equiv", "Content-Security-Policy")])
    assert policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert "http" not in hostile.replace("http-equiv", "").replace(policy, "")


def test_json_that_nothing_can_end() -> None:
    text = inert({"a": [HOSTILE, "\ud800", "\u2029&", "]]>"]})
    assert text.isascii()
    assert not set("<>&") & set(text)
