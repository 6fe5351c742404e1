"""Online: scored first, learned from afterwards; what evaluation says is what compression pays."""

import numpy as np
import pytest
import torch
from made_ensembles import WEIGHTS, members

from letterwise.api import LanguageModel
from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.ensemble import combined
from letterwise.checkpoint.texts import own_text
from letterwise.checkpoint.weights import weights_of
from letterwise.errors import UserError
from letterwise.inference.cpu.backend import compiled_backend
from letterwise.inference.cpu.layout import pack_weights
from letterwise.inference.windows import Windows
from letterwise.online import Online, beginning, evaluate
from letterwise.online.network import Network

TEXT = "The yak sat on the quilt. " * 8


def test_probabilities_are_that_and_the_same_each_time(tiny) -> None:
    ids = tiny.vocabulary.encode("The cat sat on the mat. The dog sat on the log. " * 2)
    one, two = Online(tiny.file), Online(tiny.file)
    for place, id in enumerate(ids):
        assert one.probabilities().shape == (1, len(tiny.vocabulary))
        assert one.probabilities().min() > 0
        assert one.probabilities().sum() == pytest.approx(1, abs=1e-9)
        if place < 60:
            assert (one.probabilities() == two.probabilities()).all()
            two.read(np.array([id]))
        one.read(np.array([id]))


def test_what_is_scored_is_what_is_paid(tiny) -> None:
    ids = tiny.vocabulary.encode("The dog sat on the dog. The owl sat on the cat mat. " * 20)
    threads = torch.get_num_threads()
    score = evaluate(tiny.file, ids)
    assert torch.get_num_threads() == threads
    first = -np.log2(Online(tiny.file).probabilities()[0, ids[0]])
    text = tiny.vocabulary.decode(ids).encode()
    packed = tiny.compress(text, online=True)
    assert torch.get_num_threads() == threads
    bits = score.bits_per_char * score.chars + first
    assert bits <= 8 * len(packed) <= bits * 1.001 + 8 * 64
    assert tiny.decompress(packed) == text


def test_primed_has_read_the_training_text(tiny) -> None:
    """Of the training text's own words nothing is left to say, and an archive comes back."""
    text = tiny.vocabulary.decode(own_text(tiny.file, print).part("train")[:400]).encode()
    packed = tiny.compress(text, primed=True)
    assert tiny.decompress(packed) == text
    assert len(packed) < len(tiny.compress(text, online=True))
    assert tiny.evaluate(protocol="primed").protocol == "primed"
    with pytest.raises(UserError, match="has read the training part before, and split='all' holds it"):
        tiny.evaluate(protocol="primed", split="all")


def test_what_was_studied_is_the_same_for_each_text_after_it(tiny) -> None:
    begin, ids = (
        beginning(tiny.file, tiny.vocabulary.encode(TEXT.lower().replace("y", "t").replace("k", "t"), "skip")),
        [0, 1, 2],
    )
    rows = []
    for _ in range(2):
        online = Online(tiny.file, begin)
        for id in ids:
            online.read(np.array([id]))
        rows.append(online.probabilities())
    assert (rows[0] == rows[1]).all()


def test_it_learns(tiny) -> None:
    """A text unlike what the model knows gets easier as it goes on, more than for the model as it is."""
    text = "".join(np.random.default_rng(0).permutation(sorted(set(tiny.vocabulary.characters) - {"\n"}))) * 40
    ids = tiny.vocabulary.encode(text)
    online = evaluate(tiny.file, ids)
    assert online.protocol == "online"
    assert online.chars == len(ids) - 1
    frozen = -np.log2(1 / len(tiny.vocabulary))
    assert online.bits_per_char < 0.5 * frozen


def test_the_network_starts_as_the_model_and_moves(tiny) -> None:
    backend = compiled_backend(tiny.file.networks, len(tiny.vocabulary), tiny.file.counts)
    network, size = Network(tiny.file.networks[0], backend, tiny.file.counts), tiny.config.model.block_size
    before = {name: weight.copy() for name, weight in tiny.file.weights.items()}
    ids = tiny.vocabulary.encode(TEXT.replace("yak", "cat").replace("quilt", "mat"))
    for id in ids[:size]:
        network.read(int(id))
    held = network.transformer.state_dict()
    assert all((held[name].numpy() == weight).all() for name, weight in before.items())
    network.read(int(ids[size]))
    assert any((held[name].numpy() != weight).any() for name, weight in before.items())
    moved = ModelFile(tiny.config, tiny.vocabulary, weights_of(network.transformer), {}, [], tiny.file.counts)
    same, unmoved = Windows(LanguageModel(moved, device="cpu").compiled), Windows(tiny.compiled)
    for windows in (same, unmoved):  # what predicts has the new weights, too
        for id in ids[: size + 1]:
            windows.pending = {0: [int(id)]}
            windows.read()
    assert (network.windows.logits == same.logits).all()
    assert (network.windows.logits != unmoved.logits).any()
    assert all((tiny.file.weights[name] == weight).all() for name, weight in before.items())


def test_of_an_ensemble_one_learns(tiny) -> None:
    """One of weight 1 to the bit. Of several, the first without counts moves, or the first; those of weight 0 are left out."""
    ids = tiny.vocabulary.encode(TEXT, "skip")
    assert evaluate(combined([tiny.file], [1.0]), ids) == evaluate(tiny.file, ids)
    free, counting, other = members()
    for files, learns in (([counting, free, other], 1), ([free, other], 0), ([counting, other], 0)):
        file = combined([*files, counting], [*[0.4] * len(files), 0.0])
        online = Online(file)
        for id in np.resize(np.arange(len(file.vocabulary)), 2 * online.network.block_size):
            online.read(np.array([id]))
        trained = compiled_backend(file.networks, len(file.vocabulary), file.counts).members[:-1]
        pairs = zip(online.windows, trained, strict=True)
        assert [not np.array_equal(windows.backend.weights, each.weights) for windows, each in pairs] == [
            n == learns for n in range(len(files))
        ]
        model = online.network.model
        assert np.array_equal(model.weights, pack_weights(model.config, model.kernel, weights_of(online.network.transformer)))


def test_an_ensemble_comes_back(tiny) -> None:
    text = ("The cat sat on the ca" * 8).encode()
    for model, options in (
        (LanguageModel(combined(members(), WEIGHTS), device="cpu"), {"online": True}),
        (LanguageModel(combined([tiny.file] * 2, [0.6, 0.4]), device="cpu"), {"primed": True}),
    ):
        assert model.decompress(model.compress(text, **options)) == text


def test_nothing_to_predict(tiny) -> None:
    with pytest.raises(UserError, match="nothing to predict"):
        evaluate(tiny.file, np.array([0]))
