"""Ensemble: what it writes and scores follows from the weighted sum of its members' logits, on every path."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_ensembles import COUNTS, VOCABULARY, WEIGHTS, ensemble, member, members

from letterwise import LanguageModel
from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.ensemble import combined
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.weights import restore_one
from letterwise.compiling import entry
from letterwise.compiling.worker import Job
from letterwise.data.batches import Cuts
from letterwise.evaluation.evaluate import evaluate
from letterwise.evaluation.score import Scorer
from letterwise.inference.backend import Backend, Cache
from letterwise.inference.cpu import decode
from letterwise.inference.cpu.scoring import WindowScorer
from letterwise.inference.engine import Engine, Sequence
from letterwise.inference.ensemble import EnsembleBackend
from letterwise.inference.torch_backend import TorchBackend

TEXT = "the hen ate the bean on the boat and at noon the seal lies in the sand"


def compiled(file: ModelFile) -> Backend:
    """As it writes on a CPU."""
    return LanguageModel(file, "cpu").compiled


def plain(file: ModelFile) -> Backend:
    """As it writes elsewhere."""
    networks = [restore_one(each, len(VOCABULARY)) for each in file.networks]
    return EnsembleBackend([TorchBackend(each, COUNTS) for each in networks], [each.weight for each in file.networks])


BACKENDS = {"compiled": compiled, "plain": plain}


@pytest.mark.parametrize("kind", BACKENDS)
def test_it_says_what_the_module_says(kind: str) -> None:
    """At every place of a context, and past its end, where the members' windows begin anew."""
    file, ids = ensemble(), np.random.default_rng(2).integers(0, len(VOCABULARY), 40)
    model, sequence, block = text_model(file), Sequence(BACKENDS[kind](file)), file.config.model.block_size
    for place, id in enumerate(ids):
        first = 0 if place < block else place - (place - block) % (block // 2) - block // 2
        window, starts = ids[: place + 1], np.array([first])
        prior = model.log_prior(window, starts, place + 1 - first)
        with torch.no_grad():
            expected = model.transformer(torch.from_numpy(window[first:])[None], log_prior=prior)[0, -1].numpy()
        np.testing.assert_allclose(sequence.read([int(id)]), expected, rtol=1e-4, atol=1e-4)


def test_its_logits_are_summed_in_the_order_of_its_members() -> None:
    ids = VOCABULARY.encode("the hen ate the bean on the boat", "error")
    first, *others = [
        np.float32(weight) * Sequence(compiled(each)).read(ids) for each, weight in zip(members(), WEIGHTS, strict=True)
    ]
    np.testing.assert_array_equal(Sequence(compiled(ensemble())).read(ids), sum(others, first))


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"top_k": 3, "temperature": 0.7},
        {"regex": "(the|sea|l| ){20,}"},
        {"beam": 3},
        {"presence_penalty": 1.0},
        {"min_p": 0.1},
    ],
)
def test_one_member_of_weight_1_writes_what_that_model_writes(request_: dict) -> None:
    for each in members()[:2]:
        alone, one = (LanguageModel(file, "cpu") for file in (each, combined([each], [1.0])))
        asked = {"num_tokens": 30, "rng_seed": 5, **request_}
        assert one.generate("the hen ", **asked) == alone.generate("the hen ", **asked)


def test_texts_side_by_side_are_read_and_written_as_each_alone() -> None:
    backend, prompts = compiled(ensemble()), ["the hen", "a", "noon on the sand is hot and "]
    engine = Engine(backend, len(prompts))
    together = [engine.join() for _ in prompts]
    for sequence, prompt in zip(together, prompts, strict=True):
        sequence.feed(VOCABULARY.encode(prompt, "error"))
    for sequence, prompt in zip(together, prompts, strict=True):
        alone = Sequence(backend).read(VOCABULARY.encode(prompt, "error"))
        np.testing.assert_array_equal(sequence.logits(), alone)
        np.testing.assert_array_equal(
            sequence.fork().read([1, 2]), Sequence(backend).read([*VOCABULARY.encode(prompt, "error").tolist(), 1, 2])
        )


def test_evaluation_scores_and_compression_agree() -> None:
    model, content = LanguageModel(ensemble(), "cpu"), (TEXT * 30).encode()
    score = evaluate(model.text_model, VOCABULARY.encode(content.decode(), "error"), protocol="sliding")
    lines = list(model.follow([content], protocol="sliding"))
    bits = sum(line.bits for line in lines)
    assert bits / score.chars == pytest.approx(score.bits_per_char, abs=1e-5)
    packed = model.compress(content)
    assert model.decompress(packed) == content
    assert 0.99 * bits / 8 <= len(packed) <= 1.01 * bits / 8 + 64


def test_windows_cost_what_the_module_says() -> None:
    """By compiled code, too: in pieces of a text, past the context and beside each other."""
    file, ids = ensemble(), np.random.default_rng(3).integers(0, len(VOCABULARY), 300)
    windows = Cuts(*np.array([(start, 1 + start % 12, 0) for start in range(0, 280, 13)]).T)
    nats, model = WindowScorer(file.networks, len(VOCABULARY), COUNTS).nats(ids, windows), text_model(file)
    assert nats is not None
    for start, length, _ in zip(*windows, strict=True):
        prior = model.log_prior(ids, np.array([start]), length)
        with torch.no_grad():
            logits = model.transformer(torch.from_numpy(ids[start : start + length])[None], log_prior=prior)[0]
        costs = F.cross_entropy(logits, torch.from_numpy(ids[start + 1 : start + length + 1]), reduction="none")
        np.testing.assert_allclose(nats[start + 1 : start + length + 1], costs, rtol=1e-4, atol=1e-4)


def test_one_member_of_weight_1_scores_what_that_model_scores() -> None:
    alone, one = (LanguageModel(file, "cpu") for file in (member(), combined([member()], [1.0])))
    for protocol in ("blocks", "sliding"):
        assert [line.bits for line in one.follow([TEXT.encode()], protocol=protocol)] == [
            line.bits for line in alone.follow([TEXT.encode()], protocol=protocol)
        ]
        ids = VOCABULARY.encode(TEXT, "error")
        assert evaluate(alone.text_model, ids, protocol=protocol) == evaluate(one.text_model, ids, protocol=protocol)


def test_of_lines_it_says_what_the_module_says() -> None:
    """Each line knows nothing of the one before."""
    model, text = LanguageModel(ensemble(lines=True), "cpu"), "the hen\nate the bean\n\non the boat\n"
    compiled = [line.bits for line in model.follow([text.encode()], protocol="blocks")]
    plain = Scorer(model.text_model).read(VOCABULARY.encode(text, "error"))
    assert sum(compiled) == pytest.approx(float(plain.bits.sum()), rel=1e-4)
    assert model.decompress(model.compress(text.encode())) == text.encode()
    assert "\n" not in model.generate("the", num_tokens=30, rng_seed=1, stop=["\n"])


def test_weights_above_1_sharpen() -> None:
    """A model mixed with itself is that model, sharpened: p² where the weights are 2 in all."""
    file = combined([member()] * 3, [1.0, 0.5, 0.5])
    ids = VOCABULARY.encode("the hen", "error")
    np.testing.assert_allclose(Sequence(compiled(file)).read(ids), 2 * Sequence(compiled(member())).read(ids), rtol=1e-6)


def test_it_keeps_the_contract_of_a_backend() -> None:
    backend = compiled(ensemble())
    assert isinstance(backend, Backend)
    assert isinstance(backend.cache(1), Cache)


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they share each text's products, or read texts of their own."""
    monkeypatch.setattr("letterwise.inference.cpu.backend.MIN_WORK", 1)
    content, made = "".join(np.random.default_rng(1).choice([*VOCABULARY.characters], 9000)).encode(), []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        for part in (content[:40], content):
            made.append(LanguageModel(ensemble(), "cpu").compress(part))
    assert len(set(made)) == 2


def test_before_it_is_compiled_it_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel(ensemble(), "cpu")
    asked = [{"num_tokens": 20, "rng_seed": 1}, {"num_tokens": 12, "rng_seed": 2, "regex": "(the|sea|l| )*"}]
    wanted = [model.generate("the hen ", **each) for each in asked]
    monkeypatch.setattr(entry, "MEANWHILE", True)
    waiting = entry.Entry(decode.decode.function, None, {})
    waiting.job = Job()
    monkeypatch.setattr(decode, "decode", waiting)
    assert [model.generate("the hen ", **each) for each in asked] == wanted
