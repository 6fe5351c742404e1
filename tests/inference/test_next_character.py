"""Next character: the model's own distribution, that of counting alone, and what a sampler really draws from."""

import math

import numpy as np
import pytest

from letterwise.api import LanguageModel
from letterwise.errors import UserError

OPTIONS = [
    dict(),
    dict(temperature=0.7, top_k=3),
    dict(top_p=0.9, repetition_penalty=1.8, presence_penalty=0.5),
    dict(min_p=0.2, logit_bias={"ds": 1.5}, exclude="o"),
    dict(typical_p=0.8, charset="cdo "),
    dict(greedy=True),
]


def test_the_models_own_distribution_is_that_of_its_logits(tiny: LanguageModel) -> None:
    wanted = tiny.logits("The cat s")[-1].double().softmax(-1).numpy()
    found = tiny.next_characters("The cat s", n=99, temperature=3.0)
    assert [c.id for c in found.likeliest] == np.argsort(-wanted, kind="stable").tolist()
    assert [c.character for c in found.likeliest] == [tiny.vocabulary.characters[c.id] for c in found.likeliest]
    np.testing.assert_allclose([c.probability for c in found.likeliest], np.sort(wanted)[::-1], rtol=1e-3, atol=1e-6)
    assert found.entropy_bits == pytest.approx(-sum(wanted * np.log2(wanted)), abs=1e-4)


def test_counting_alone_is_what_kneser_ney_says(tiny: LanguageModel) -> None:
    for text in ("The cat sat on", "T", "cat", "The The "):
        ids = tiny.vocabulary.encode(text)
        wanted = np.exp(tiny.file.counts.log_probs_at(ids, np.array([0]), len(ids))[0, -1, 0, :-1])
        found = tiny.next_characters(text, n=99)
        np.testing.assert_allclose([c.counting for c in found.likeliest], wanted[[c.id for c in found.likeliest]], rtol=1e-5)
        assert math.fsum(c.counting or 0 for c in found.likeliest) == pytest.approx(1, abs=1e-5)


def test_a_model_without_counts_has_none(plain: LanguageModel) -> None:
    assert [c.counting for c in plain.next_characters("The", n=3).likeliest] == [None, None, None]


@pytest.fixture(scope="module")
def plain(text_file, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    import letterwise

    shape = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=4, max_iters=3, warmup_iters=1)
    return letterwise.train(text_file, preset="gpt2", out=tmp_path_factory.mktemp("plain") / "run", progress=False, **shape)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_drawn_is_what_is_drawn_from(tiny: LanguageModel, options: dict) -> None:
    """The oracle: 800 draws. No character comes that is said to be never drawn, and the others as often as it is said."""
    draws = 800
    drawn = {c.character: c.drawn for c in tiny.next_characters("The ", n=99, **options).likeliest}
    assert math.fsum(drawn.values()) == pytest.approx(1)
    found = tiny.samples("The ", num_tokens=1, num_samples=draws, rng_seed=1, **options).texts()
    for character, p in drawn.items():
        room = 2 + 5 * math.sqrt(draws * p * (1 - p)) if p else 0  # 2: the rarest may come, and on which machine is chance
        assert found.count(character) == pytest.approx(draws * p, abs=room)


def test_nothing_is_before_the_first_character_but_a_line_break(tiny: LanguageModel, tiny_lines: LanguageModel) -> None:
    """As `generate` continues an empty prompt; without a line break in the vocabulary, whatever may come is as likely."""
    assert tiny_lines.next_characters("") == tiny_lines.next_characters("\n") == tiny_lines.next_characters("bake\n")
    alone = tiny.next_characters("", n=99)
    assert {c.probability for c in alone.likeliest} == {1 / len(tiny.vocabulary)}
    assert alone.entropy_bits == pytest.approx(math.log2(len(tiny.vocabulary)))
    assert math.fsum(c.counting or 0 for c in alone.likeliest) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(n=0), "n=0 must be 1 or more"),
        (dict(n=1.5), "n=1.5 is not a whole number"),
        (dict(beam=2), "beam=2 looks for whole texts"),
        (dict(regex="a"), "'regex' is not a known option"),
        (dict(text="Öl"), "not in this model's vocabulary"),
        (dict(text=3), "text=3 is not a text"),
        (dict(charset="xyz"), "charset='xyz' leaves no character"),
    ],
)
def test_what_cannot_be(tiny: LanguageModel, options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        tiny.next_characters(**{"text": "The", **options})
    assert len(tiny.next_characters("Ölcat", n=2, unknown="skip").likeliest) == 2
