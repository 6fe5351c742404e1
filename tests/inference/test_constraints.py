"""Constraints: what can be written is what matches, no more and no less, on small worlds where all texts can be listed."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.constraints import VOCABULARY, cases
from letterwise.api.constraint_files import with_files
from letterwise.checkpoint.weights import weights_of
from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.cache import constraint_for
from letterwise.inference.constraints.constraint import Constraint
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.limits import MAX_CHARS, Limits
from letterwise.inference.constraints.llguidance.completion import BudgetSpent, find_completion
from letterwise.inference.constraints.llguidance.matcher import Tokenizer, library
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.engine import follow
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.model import build, initialize

SMALL = Vocabulary("char", "\nabé")
BYTES = Vocabulary("byte")
CASES = cases()


def writable(guide: Guide, vocabulary: Vocabulary, ids: tuple[int, ...] = ()) -> set[str]:
    """Every text that a guide can be led through to an end."""
    texts = {vocabulary.decode(ids)} if guide.is_accepting() else set()
    if guide.left:
        for id in np.flatnonzero(guide.allowed()):
            twin = guide.fork()
            if twin.advance(int(id)):
                texts |= writable(twin, vocabulary, (*ids, int(id)))
    return texts


def every_text(characters: str, longest: int) -> list[str]:
    return ["".join(letters) for n in range(longest + 1) for letters in itertools.product(characters, repeat=n)]


def expected(vocabulary: Vocabulary, limits: Limits, matches: Callable[[str], object]) -> set[str]:
    """The plain statement."""
    characters = vocabulary.characters or "abé"
    return {
        text
        for text in every_text(characters, limits.num_tokens)
        if len(vocabulary.encode(text)) <= limits.num_tokens and matches(text)
        and all(part in text for part in limits.must_contain)
        and not set(text) & set(limits.exclude)
        and (limits.charset is None or set(text) <= set(limits.charset))
        and not (limits.until_line and "\n" in text[:-1])
    }  # fmt: skip


REGEXES = [
    "a*", "(ab|b)+", "[^a]{2,4}", "a(b|€)a?", "(a|aa|€b)+", ".*é.*", "(?s).{3}", "a{2}b|b{3,}|", "(?i)A+b", r"(\w\n)+", "b*?a",
]  # fmt: skip


@pytest.mark.parametrize("regex", REGEXES)
@pytest.mark.parametrize(
    "more",
    [{}, {"exclude": "b"}, {"charset": "ab"}, {"must_contain": ("ba", "ab")}, {"until_line": True}, {"num_tokens": 2}],
    ids=str,
)
def test_a_regex_writes_all_texts_that_match_and_no_other(regex: str, more: dict) -> None:
    limits = Limits(**{"num_tokens": 5, "regex": regex, **more})
    texts = expected(SMALL, limits, re.compile(regex).fullmatch)
    if texts:
        assert writable(Constraint(SMALL, limits).guide(), SMALL) == texts
    else:
        with pytest.raises(UserError):
            Constraint(SMALL, limits)


@settings(max_examples=60)
@given(parts=st.lists(st.text("abé", min_size=1, max_size=3), min_size=1, max_size=3), longest=st.integers(0, 5))
def test_texts_to_contain_overlap_as_they_can(parts: list[str], longest: int) -> None:
    limits = Limits(num_tokens=longest, must_contain=tuple(parts))
    texts = expected(SMALL, limits, lambda text: True)
    if texts:
        assert writable(Constraint(SMALL, limits).guide(), SMALL) == texts
    else:
        with pytest.raises(UserError, match="too short"):
            Constraint(SMALL, limits)


@pytest.mark.parametrize("regex", ["[abé]+", "a(é|b)*", "é{2}|b+"])
@pytest.mark.parametrize("more", [{}, {"must_contain": ("é",)}, {"exclude": "b"}], ids=str)
def test_bytes_are_counted_as_bytes(regex: str, more: dict) -> None:
    limits = Limits(num_tokens=4, regex=regex, **more)
    assert writable(Constraint(BYTES, limits).guide(), BYTES) == expected(BYTES, limits, re.compile(regex).fullmatch)


BRACKETS = 'start: "a" start "b" | "é"?\n'


def nested(text: str) -> bool:
    """aⁿ bⁿ, perhaps with an é in the middle: no regex can say so."""
    depth = len(text) // 2
    return text in ("a" * depth + "b" * depth, "a" * depth + "é" + "b" * depth)


@pytest.mark.parametrize("more", [{}, {"exclude": "é"}, {"must_contain": ("é",)}, {"must_contain": ("ab",)}], ids=str)
@pytest.mark.parametrize("longest", [3, 4, 7])
def test_a_grammar_writes_all_its_sentences_and_no_other(longest: int, more: dict) -> None:
    limits = Limits(num_tokens=longest, grammar=BRACKETS, **more)
    assert writable(Constraint(SMALL, limits).guide(), SMALL) == expected(SMALL, limits, nested)


def test_a_way_that_needs_a_stranger_is_not_begun() -> None:
    """After "a" only the euro could come, which is not in the vocabulary, three letters on."""
    limits = Limits(num_tokens=9, grammar='start: "a" "bb€" | "ba"\n')
    assert writable(Constraint(SMALL, limits).guide(), SMALL) == {"ba"}


def test_objects_of_a_schema() -> None:
    """All that fits: the numbers grow until the places are used up."""
    digits = Vocabulary("char", '"01:abn{}')
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "type": "object", "additionalProperties": False}
    limits = Limits(num_tokens=9, json_schema=json.dumps(schema))
    assert writable(Constraint(digits, limits).guide(), digits) == {
        "{}", *(f'{{"a":{n}}}' for n in ("0", "1", "10", "11", "100", "101", "110", "111"))
    }  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_samples_match_as_others_see_it(name: str, noise) -> None:
    """Twenty texts by a model that knows nothing, each checked by another library."""
    limits, matches = CASES[name]
    for seed in range(20):
        samples = generate(noise, VOCABULARY, "", sampler=Sampler(), limits=limits, rng_seeds=[seed])
        (text,) = samples.texts()
        assert matches(text), text
        assert len(text) <= limits.num_tokens
        assert samples.ended[0] in ("match", "length")


@pytest.fixture(scope="module")
def noise():
    """A model of fresh weights."""
    config = ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=16, counts_order=0)
    return CompiledBackend(config, len(VOCABULARY), weights_of(initialize(build(config, len(VOCABULARY)), 0)))


def test_the_end_is_as_likely_as_all_that_cannot_follow() -> None:
    """`a*b?` of at most two letters, where a, b and each other come with 1/2, 1/4 and 1/8, by hand.

    The empty text: 1/4 (é and line break). b: 1/4. a: 1/2 · 1/4. aa, ab: 1/2 · 1/2, 1/2 · 1/4. Chi-squared over 4,000
    texts; 18.47 is the 0.1 % point at 4 degrees of freedom.
    """
    odds = {"": 1 / 4, "b": 1 / 4, "a": 1 / 8, "aa": 1 / 4, "ab": 1 / 8}
    constraint = Constraint(SMALL, Limits(num_tokens=2, regex="a*b?"))
    state, logits = SamplerState(Sampler(), SMALL, rng_seed=3), np.log(np.array([1 / 8, 1 / 2, 1 / 4, 1 / 8], np.float32))
    counts: Counter[str] = Counter()

    def draw(may: np.ndarray | None) -> int:
        return state.choose(logits if may is None else np.where(may, logits, np.float32(-np.inf)))

    for _ in range(4000):
        guide, ids = constraint.guide(), []
        while guide.left and (id := follow(guide, guide.allowed(), guide.is_accepting(), draw)) is not None:
            ids.append(id)
        counts[SMALL.decode(ids)] += 1
    assert counts.keys() == odds.keys()
    assert sum((counts[text] - 4000 * p) ** 2 / (4000 * p) for text, p in odds.items()) < 18.47


def test_a_text_to_contain_need_not_come_twice() -> None:
    """Once it is written in a quotation, the way to the end is the shortest again."""
    guide = Constraint(
        VOCABULARY, Limits(num_tokens=60, grammar='start: "\\"" /[a-z ]*/ "\\""', must_contain=("moon",))
    ).guide()
    before = guide.completion()
    for id in VOCABULARY.encode('"a moon'):
        assert guide.advance(int(id))
    assert (VOCABULARY.decode(before), VOCABULARY.decode(guide.completion())) == ('"moon"', '"')


def test_time_that_is_up_finds_the_shortest_way() -> None:
    guide = Constraint(VOCABULARY, Limits(regex=r"\d{2}-\d{2}(-\d{4})?")).guide()
    for id in VOCABULARY.encode("12"):
        guide.advance(int(id))
    assert re.fullmatch(r"-\d{2}", VOCABULARY.decode(guide.completion()))


def test_a_search_that_finds_nothing_says_so() -> None:
    matcher = Tokenizer(SMALL).matcher(library().LLMatcher.grammar_from_lark('start: "a" start | "bbbb"\n'))
    assert find_completion(matcher, 3) is None
    with pytest.raises(BudgetSpent):
        find_completion(matcher, 4, max_steps=0)
    assert SMALL.decode(find_completion(matcher, 4)) == "bbbb"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"regex": "a€+|b€"}, "has never seen '€'"),
        ({"json_schema": '{"const": "€"}'}, "has never seen"),
        ({"regex": "a{101}"}, "num_tokens=100 is too short: a text that matches takes 101"),
        ({"grammar": 'start: "abab"', "num_tokens": 3}, "too short: a text that matches takes 4"),
        ({"regex": "a+", "exclude": "a"}, "--charset and --exclude leave no text that matches: 'a' would"),
        ({"regex": "a+", "must_contain": ("b",)}, "of at most 10,000 characters, matches all that is asked"),
        ({"must_contain": ("€",)}, "--must_contain '€' cannot be written: the model has never seen '€'"),
        ({"must_contain": ("a" * 5000,)}, "num_tokens=\\d+ is too short: --must_contain alone takes 5000"),
        ({"regex": "a(?=b)"}, r"--regex: '\(\?=b\)' is look-around, which is not supported"),
        ({"regex": r"(a)\1"}, "is a back-reference"),
        ({"regex": "[a"}, "unclosed character class"),
        ({"regex": "a)|(b"}, "is not understood"),
        ({"grammar": "start: thing\n"}, "--grammar .* is not understood: .*there is no rule 'thing'"),
        ({"json_schema": '{"type": "objct"}'}, "--json_schema: 'type' is \"objct\", and must be one of null, boolean"),
        ({"json_schema": '{"type": '}, "is no JSON schema"),
        ({"json_schema": '{"a":' * 100_000}, "is no JSON schema"),
        ({"json_schema": "nowhere.json"}, "'nowhere.json' is neither a JSON schema nor a file that can be read: No such file"),
        ({"grammar": "nowhere.lark"}, "'nowhere.lark' is neither a grammar nor a file"),
        ({"grammar": "no\0where"}, "nor a file that can be read"),
    ],
)
def test_what_no_text_can_meet_is_refused_at_the_start(request_: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        constraint_for(SMALL, with_files(Limits(**request_)))


def test_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "sentence.lark"
    for letter in "ab":
        file.write_text(f'start: "{letter}"')
        assert writable(constraint_for(SMALL, with_files(Limits(grammar=str(file)))).guide(), SMALL) == {letter}


def test_only_who_typed_a_name_may_mean_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start: A").write_text('start: "b"')
    (tmp_path / "1").write_text('{"const": 2}')
    with pytest.raises(UserError):
        constraint_for(SMALL, Limits(grammar="start: A"))
    with pytest.raises(UserError, match="1"):
        constraint_for(SMALL, Limits(json_schema="1"))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"num_tokens": -1}, "num_tokens=-1"),
        ({"stop": ("",)}, "stop=''"),
        ({"max_seconds": 0.0}, "max_seconds=0.0"),
        ({"must_contain": ("",)}, "must_contain=''"),
        ({"regex": "a", "grammar": "start: x"}, "--regex and --grammar do not go together"),
        ({"regex": "a", "stop": ("b",)}, "stop='b' would not match: say the end in --regex"),
        ({"must_contain": ("a",), "stop": ("b",)}, "say the end in --must_contain"),
        ({"regex": "a\udc80"}, "is no text"),
        ({"must_contain": ("\udc80",)}, "is no text"),
        ({"regex": "a", "num_tokens": MAX_CHARS + 1}, f"{MAX_CHARS} is the most"),
    ],
)
def test_senseless_limits(request_: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Limits(**request_)


def test_characters_that_leave_nothing_are_refused() -> None:
    assert Limits().characters(SMALL) is None
    assert Limits(charset="a€", exclude="b").characters(SMALL).tolist() == [False, True, False, False]
    for request in ({"charset": "€"}, {"charset": "a", "exclude": "a"}, {"exclude": "\nabé"}):
        with pytest.raises(UserError, match="leaves no character"):
            Limits(**request).characters(SMALL)
    with pytest.raises(UserError, match="ASCII characters only"):
        Limits(exclude="é").characters(BYTES)
    assert np.flatnonzero(Limits(charset="ab").characters(BYTES)).tolist() == [97, 98]
