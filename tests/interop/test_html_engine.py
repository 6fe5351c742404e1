"""The page's engine says what the model says: every value of every brick, counts of several texts, and past a full context.

Run by Node.js; test_html_page.py does the same in a browser.
"""

import itertools
import math
import re
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from inference.test_engine import SHAPE, lively
from inference.test_every_brick import BRICKS, REST
from interop.in_node import in_node, logits_in_node, model_file, needs_node, numbers_of
from priors import beside, counted, counts_for

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.weights import weights_of
from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.engine import Sequence
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend
from letterwise.interop.exporting.page import assemble
from letterwise.interop.exporting.page.describe import IN_TRAINING, config_of
from letterwise.interop.exporting.page.pack import packed
from letterwise.interop.exporting.page.rounding import Weights, restored, rounded
from letterwise.model import Transformer
from letterwise.ngrams import Counts, adapt
from letterwise.ngrams.contexts import Alphabet
from letterwise.ngrams.contexts.keys import context_keys

V = 11
IDS = np.random.default_rng(1).integers(0, V, 40).tolist()  # more than three contexts
ONE_BY_ONE = [[id] for id in IDS]


def logits(model: Transformer, counts: Counts | None, chunks: list[list[int]], line_break: int | None = None) -> np.ndarray:
    """What PyTorch says before anything is read, and after each of some chunks."""
    sequence = Sequence(TorchBackend(model, counts, line_break))
    return np.array([sequence.read(chunk).copy() for chunk in ([], *chunks)])


def file_of(model: Transformer, counts: Counts | None = None, **kind: Any) -> ModelFile:
    return model_file(model.config, weights_of(model), counts, **kind)


@needs_node
@pytest.mark.parametrize("activation", BRICKS["activation"])
def test_the_engine_says_what_the_model_says_with_every_value_of_every_brick(activation: str) -> None:
    others = {name: values for name, values in BRICKS.items() if name != "activation"}
    ids, files, wanted = np.array(IDS[: SHAPE["block_size"]]), [], []
    for values, rest in itertools.product(itertools.product(*others.values()), REST):
        bricks = {"activation": activation, "counts_order": 3, **dict(zip(others, values, strict=True))}
        model = lively(ModelConfig(**{**SHAPE, **bricks, **rest}))
        counts = counts_for(model)
        prior = beside(model, counts).log_prior(ids, np.array([0]), len(ids))
        with torch.no_grad():
            wanted.append(model(torch.from_numpy(ids)[None], log_prior=prior)[0].numpy())
        files.append(file_of(model, counts))
    for simd in (True, False):
        for file, found, want in zip(files, logits_in_node(files, ONE_BY_ONE[: len(ids)], simd=simd), wanted, strict=True):
            np.testing.assert_allclose(found[1:], want, rtol=1e-4, atol=1e-4, err_msg=str(file.config.model))


def test_every_value_of_every_brick_has_an_answer() -> None:
    """Also where there is no Node.js: each kind of brick is a table in bricks.js, and each value a name in it."""
    tables = assemble.joined("engine", ("bricks",)).split("const BRICKS = {")[1]
    for kind, values in BRICKS.items():
        (row,) = re.findall(rf"^  {kind}: \{{(.*)\}},$", tables, re.MULTILINE)
        assert set(re.findall(r"(\w+): (?:\w+|\{[^}]*\})", row)) == set(values), kind


def test_every_knob_is_read_by_the_engine_or_matters_in_training_only() -> None:
    engine, config = assemble.engine(), config_of(ModelConfig(), V)
    assert {f.name for f in fields(ModelConfig)} <= {*config, "ffn_hidden", *IN_TRAINING}
    assert [name for name in config if not re.search(rf"\b{name}\b", engine)] == []


@needs_node
@pytest.mark.parametrize("brick", BRICKS)
def test_a_value_that_is_not_known_is_refused(brick: str) -> None:
    """It does not run as one of the others."""
    model = lively(ModelConfig(**SHAPE, counts_order=0))
    given = numbers_of(file_of(model))
    given["page"]["config"][brick] = "constructor"
    script = "const run = ({page, numbers}) => buildWindows(page, numbers).then(() => 'built', (error) => error.message);"
    assert in_node(script, given) == f'this page has no {brick} "constructor"'


@needs_node
@pytest.mark.parametrize(
    "values",
    [
        dict(n_layer=0, n_head=1, n_embd=2, counts_order=7),
        dict(n_layer=0, n_head=1, n_embd=6, counts_order=0),
        dict(n_head=1, n_embd=6, block_size=1, counts_order=1),
        dict(n_head=3, n_embd=18, n_kv_head=1, block_size=7, counts_order=2),
        dict(n_head=1, n_embd=5, positions="learned", block_size=5, ffn_hidden=3, bias=True),
    ],
    ids=str,
)
def test_odd_shapes(values: dict[str, Any]) -> None:
    """No layers, sizes that are no multiples of four, a context of one character."""
    model = lively(ModelConfig(**{**SHAPE, **values}))
    counts = counts_for(model)
    for simd in (True, False):
        (found,) = logits_in_node([file_of(model, counts)], ONE_BY_ONE, simd=simd)
        np.testing.assert_allclose(found, logits(model, counts, ONE_BY_ONE), rtol=1e-4, atol=1e-4)


@needs_node
@pytest.mark.parametrize("lines", [False, True], ids=["text", "lines"])
def test_any_chunking_of_a_text(lines: bool) -> None:
    """Windows begin where they do in windows.py, and in a model of lines with each line break, which is id 0."""
    model = lively(ModelConfig(**SHAPE, counts_order=4))
    counts, ids = counts_for(model), np.random.default_rng(3).integers(0, V, 120)
    chunks = [part.tolist() for part in np.split(ids, [1, 2, 14, 15, 16, 60, 61, 100])]
    chunks += [[0], [3, 4], [5, 0], [0, 0, 7], [*range(1, 11), *range(1, 11)]]
    (found,) = logits_in_node([file_of(model, counts, lines=lines)], chunks)
    np.testing.assert_allclose(found, logits(model, counts, chunks, 0 if lines else None), rtol=1e-4, atol=1e-4)


@needs_node
@pytest.mark.parametrize("number", [1, 2, 3])
def test_counts_of_several_texts(number: int) -> None:
    """Each adapts those before it. The texts have characters of their own, and contexts that the others never had."""
    model = lively(ModelConfig(**SHAPE, counts_order=5))
    random = np.random.default_rng(number)
    texts = [random.integers(3 * i, min(V, 3 * i + 7), size) % V for i, size in enumerate((300, 90, 40))]
    counts = adapt([counted(text, V, 5) for text in texts[:number]])
    chunks = [[int(id)] for text in texts for id in text[:40]]
    (found,) = logits_in_node([file_of(model, counts)], chunks)
    np.testing.assert_allclose(found, logits(model, counts, chunks), rtol=1e-4, atol=1e-4)


@needs_node
@pytest.mark.parametrize("fresh", [-1, 0], ids=["text", "lines"])
def test_keys_of_contexts(fresh: int) -> None:
    """The same 32 bits as in keys.py: in words, between them, in lines that are short and longer than what a context sees."""
    ids = np.random.default_rng(5).integers(1, V, 600)
    ids[[0, 20, 25, 26, 70, 130, 300, 400, 420]] = 0  # the line break
    points = np.array([10, 0x10FFFF, *range(97, 97 + V - 2)], np.int32)
    letters = np.where((np.arange(V) > 0) & (np.arange(V) < 7), points + 1, 0)
    of = Alphabet(points + 1, letters, 0, fresh)
    script = """const run = async ([codes, letters, breaks, ids]) => {
      const contexts = new Contexts({ codes, letters, breaks }, []);
      return [-1, ...ids].map((id) => (id >= 0 && contexts.extend(id), contexts.keys().map((key) => key >>> 0)));
    };"""
    breaks = [of.newline + 1, of.fresh + 1]
    found = in_node(script, [of.codes.tolist(), of.letters.tolist(), breaks, ids.tolist()])
    np.testing.assert_array_equal(np.array(found).T, context_keys(np.concatenate(([-1], ids)), of))


@needs_node
@pytest.mark.parametrize("texts", [1, 2])
def test_contexts_reach_far_behind_the_window(texts: int) -> None:
    """In lines of 50, the character above is one that no window of this model holds. What several texts had is added up."""
    model = lively(ModelConfig(**SHAPE, counts_order=3))
    random = np.random.default_rng(6)
    ids = random.integers(0, V - 1, (texts, 600))
    ids[:, 50:] = np.where(random.random((texts, 550)) < 0.7, ids[:, :-50], ids[:, 50:])  # alike, one line below the other
    ids[:, 49::50] = V - 1  # the line break
    counts = adapt([counted(text, V, 3) for text in ids])
    assert counts.contexts
    assert all(len(table.keys) for table in counts.contexts.tables[:6])
    chunks = [[int(id)] for id in ids[0, :170]] + [ids[-1, :200].tolist(), ids[-1, 200:230].tolist()]
    (found,) = logits_in_node([file_of(model, counts)], chunks)
    np.testing.assert_allclose(found, logits(model, counts, chunks), rtol=1e-4, atol=1e-4)


@needs_node
def test_counts_without_contexts() -> None:
    model = lively(ModelConfig(**SHAPE, counts_order=3, counts_contexts=False))
    counts = counts_for(model)
    assert counts
    assert not counts.contexts
    (found,) = logits_in_node([file_of(model, counts)], ONE_BY_ONE)
    np.testing.assert_allclose(found, logits(model, counts, ONE_BY_ONE), rtol=1e-4, atol=1e-4)


@needs_node
def test_many_characters_and_counts_above_a_byte() -> None:
    """With more than 512 characters, the prior keeps one order. Ids and counts then take two bytes and more."""
    size = 700
    model = lively(ModelConfig(**SHAPE, counts_order=3), vocab_size=size)
    ids = np.concatenate((np.random.default_rng(0).integers(0, size, 2000), np.full(70_000, 699)))
    counts = counted(ids, size, 3)
    assert counts.levels[-1].counts.max() > 2**16
    chunks = [[int(id)] for id in ids[:30]] + [[699]] * 5
    (found,) = logits_in_node([file_of(model, counts)], chunks)
    np.testing.assert_allclose(found, logits(model, counts, chunks), rtol=1e-4, atol=2e-4)


@needs_node
@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_rounded_weights_are_what_the_price_was_measured_with(weights: Weights) -> None:
    model = lively(ModelConfig(**SHAPE, counts_order=3))
    counts, file = counts_for(model), file_of(model, counts_for(model))
    there = replace(file, weights=restored(rounded(file.weights, weights)))
    found, same = logits_in_node([file], ONE_BY_ONE, weights=weights)[0], logits_in_node([there], ONE_BY_ONE)[0]
    np.testing.assert_array_equal(found, same)
    off = np.abs(found - logits(model, counts, ONE_BY_ONE)).max()
    assert 1e-4 < off < {"float16": 0.05, "int8": 1.0}[weights]


def test_rounding_stays_within_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    weight[2] = 0
    weight[3, 0] = 1e6
    near = restored(rounded({"w": weight}, "int8"))["w"]
    assert (np.abs(near - weight) <= np.abs(weight).max(1, keepdims=True) / 127 * 0.5001).all()
    assert rounded({"w": weight}, "float16")["w"].dtype == np.float32  # 1e6 is no float16
    small = weight[:2]
    assert (restored(rounded({"w": small}, "float16"))["w"] == small.astype(np.float16)).all()


@needs_node
def test_every_number_of_16_bits_is_read() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    finite = bits[np.isfinite(bits.view(np.float16))]
    found = in_node("const run = async (bits) => bits.map(float16);", finite.tolist())
    np.testing.assert_array_equal(np.array(found), finite.view(np.float16).astype(np.float64))


@needs_node
def test_what_is_packed_comes_out() -> None:
    random = np.random.default_rng(0)
    arrays = {
        "a": random.integers(0, 2**8, 5).astype(np.uint8),
        "b": random.integers(0, 2**16, 7).astype(np.uint16),
        "c": np.array([0, 1, 2**32 - 1, 77], np.uint32),
        "none": np.zeros(0, np.uint8),
        "d": np.array([-127, 0, 127], np.int8),
        "e": random.normal(size=(3, 4)).astype(np.float32),
    }
    parts = packed(arrays)
    script = """const run = async ([numbers, arrays]) =>
      Object.fromEntries(Object.entries(await unpack(numbers, arrays)).map(([name, array]) => [name, [...array]]));"""
    found = in_node(script, [parts.numbers, parts.arrays])
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.array(found[name], array.dtype), array.reshape(-1), err_msg=name)


@needs_node
def test_the_normal_distribution() -> None:
    places = [*np.linspace(-12, 12, 241).tolist(), 1e-9, -1e-9, 2.9999, 3.0]
    found = in_node("const run = async (places) => places.map(normalBelow);", places)
    np.testing.assert_allclose(found, [math.erfc(-x / math.sqrt(2)) / 2 for x in places], rtol=1e-9)


FILTERINGS = [
    dict(),
    dict(temperature=0.5),
    dict(temperature=1e-3, top_p=0.5),
    dict(top_k=1),
    dict(top_k=4, min_p=0.1),
    dict(top_k=100),
    dict(top_p=0.3),
    dict(top_p=0.9, temperature=1.7),
    dict(min_p=0.5),
    dict(min_p=1.0),
]


@needs_node
def test_filters_keep_the_same_characters() -> None:
    random = np.random.default_rng(0)
    cases = [(3 * random.normal(size=V)).astype(np.float32) for _ in range(20)]
    cases += [np.zeros(V, np.float32), np.repeat(np.float32([1, 0]), [3, V - 3])]  # ties are kept
    options = [dict(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0) | some for some in FILTERINGS]
    script = """const run = async ([cases, options]) =>
      options.map((some) => cases.map((logits) => [...filtered(Float32Array.from(logits), some)]));"""
    each = np.array(in_node(script, [[case.tolist() for case in cases], options]), np.float64)  # -∞ comes as null, here NaN
    for some, found in zip(options, each, strict=True):
        wanted = np.array([Sampler(**some).filtered(case) for case in cases])
        assert (np.isnan(found) == np.isinf(wanted)).all(), some
        kept, shift = np.isfinite(wanted), np.nanmax(found, 1) - wanted.max(1)
        np.testing.assert_allclose((found - shift[:, None])[kept], wanted[kept], rtol=1e-5, atol=1e-5, err_msg=str(some))


@needs_node
def test_draws_follow_the_probabilities_and_depend_on_the_seed_alone() -> None:
    script = """const run = async ([logits, seeds, n]) => seeds.map((seed) => {
      const random = generator(seed), options = { temperature: 1, top_k: 0, top_p: 1, min_p: 0, greedy: false };
      return Array.from({ length: n }, () => choose(Float32Array.from(logits), options, random));
    });"""
    wanted = np.array([0.5, 0.25, 0.125, 0.125])
    first, again, other, last = in_node(script, [np.log(wanted).tolist(), [1, 1, 2, 2**32 - 1], 20_000])
    assert first == again
    assert first != other
    for drawn in (first, other, last):
        np.testing.assert_allclose(np.bincount(drawn) / len(drawn), wanted, atol=0.02)


@needs_node
def test_the_likeliest_come_first() -> None:
    p = [0.1, 0.3, 0.05, 0.3, 0.25]
    assert in_node("const run = async (p) => [1, 3, 9].map((n) => likeliest(p, n));", p) == [[1], [1, 3, 4], [1, 3, 4, 0, 2]]


def test_a_vocabulary_travels_as_code_points() -> None:
    """Lone surrogates that stand next to each other would be another character in JavaScript's strings."""
    strange = "\n<\u2028\ud800\udc00\U0001f468"
    model = lively(ModelConfig(**SHAPE, counts_order=0), vocab_size=len(strange))
    file = file_of(model, vocabulary=Vocabulary("char", strange))
    assert numbers_of(file)["page"]["vocabulary"] == {"kind": "char", "points": [ord(c) for c in strange]}
