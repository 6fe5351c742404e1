"""Automata: a table says what the engine says, character by character, and what is written with either is the same."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.constraints import VOCABULARY, cases
from letterwise.checkpoint.weights import weights_of
from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.constraint import Constraint, constraint_for
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.earley_guide import Earley
from letterwise.inference.constraints.language import nfa
from letterwise.inference.constraints.language.dfa import END, START, draw_under_dfa
from letterwise.inference.constraints.language.nfa import dfa_of
from letterwise.inference.constraints.language.regex import Choice, One, Repeat, Row, TooLarge, Unusual, parse
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.llguidance_guide import EngineGuide
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.generate import write
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import build, initialize

SMALL = Vocabulary("char", "\nabé")
REGULAR = {name: limits for name, (limits, _) in cases().items()}
CONFIG = ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=16, counts_order=0)


class Asked(Constraint):
    """A constraint that asks the engine at each step."""

    def _dfa(self, longest: int) -> None:
        return None


def test_an_expression_is_read_as_it_is_built() -> None:
    assert parse("a(?:b|[^]c-e]){2,}") == Row((One("a"), Repeat(Choice((Row((One("b"),)), Row((One("[^]c-e]"),)))), 2, None)))
    assert parse(r"(?i)x|(?s:.)\p{Lu}*?") == Choice(
        (Row((One("x", "i"),)), Row((Row((One(".", "is"),)), Repeat(One(r"\p{Lu}", "i"), 0, None))))
    )


@pytest.mark.parametrize(
    "regex", ["(?x) a", "a^b", r"a\z", r"\bx", "(?-u:a)", "(?U)a*", "a)b", "(a", "*a", "^a|b$", "[+-[]x]", "[a--[b]]", "[a"]
)
def test_what_is_not_read_is_left_to_the_engine(regex: str) -> None:
    with pytest.raises(Unusual):
        parse(regex)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less may be spent on a table than usually: with its types checked, the code is slow."""
    monkeypatch.setattr(nfa, "EFFORT", nfa.EFFORT >> 4)


@pytest.mark.parametrize("regex", ["(?x) a  b?", "(a|b)*a(a|b){16}"])
def test_what_has_no_table_is_asked_for_step_by_step(regex: str, hurried: None) -> None:
    guide = Constraint(SMALL, Limits(regex=regex)).guide()
    assert isinstance(guide, EngineGuide if "(?x)" in regex else Earley)
    assert SMALL.decode(np.flatnonzero(guide.allowed())) in ("a", "ab")


def test_what_was_read_wrongly_is_left_to_the_engine(monkeypatch) -> None:
    """Whatever stands for a character is asked whether it is one."""
    for wrong in ("[ab]é", "[ab]?", "a|ab"):
        monkeypatch.setattr("letterwise.inference.constraints.constraint.whole", lambda regex: One(regex))
        assert isinstance(Constraint(SMALL, Limits(regex=wrong)).guide(), EngineGuide)


def test_a_range_may_end_in_a_bracket() -> None:
    """Printable ASCII without quotes and backslashes, as it is usually written."""
    guide = Constraint(VOCABULARY, Limits(regex=r'"[ -!#-[\]-~]*"')).guide()
    for id in VOCABULARY.encode('"aa['):
        assert guide.allowed()[id]
        guide.advance(int(id))
    assert not guide.is_accepting()
    assert not guide.allowed()[VOCABULARY.encode("\\")[0]]


def test_anchors_at_both_ends_change_nothing() -> None:
    bare, held = (Constraint(SMALL, Limits(regex=regex)).guide() for regex in ("a(b|é)*", "^a(b|é)*$"))
    assert isinstance(held, DFAGuide)
    assert all(np.array_equal(*pair) for pair in zip(bare.dfa, held.dfa, strict=True))


def test_more_time_is_the_same_table() -> None:
    one, other = (constraint_for(SMALL, Limits(regex="ab*", max_seconds=seconds)) for seconds in (5, 6))
    assert one is other


@pytest.mark.parametrize("regex", ["(a{200}){200}", "(a|b)*a(a|b){16}", "(){1000000000}", "(a*){6600}", "(a?){4900}"])
def test_a_table_may_not_grow_beyond_bounds(regex: str, hurried: None) -> None:
    with pytest.raises(TooLarge):
        dfa_of([parse(regex)], len(SMALL), one_of_small)


@pytest.mark.parametrize("regex", ["(a{40}){40}", "(a|b)*a(a|b){6}", "(){1000}", "(a*){100}", "(a?){30}"])
def test_what_is_smaller_has_a_table(regex: str, hurried: None) -> None:
    assert dfa_of([parse(regex)], len(SMALL), one_of_small).distances[START] in (0, 7, 1600)  # all of them can be met


def one_of_small(one: One) -> np.ndarray:
    return np.arange(len(SMALL)) == SMALL.encode(one.written)[0]


atoms = st.sampled_from(
    [
        "a",
        "b",
        "é",
        ".",
        "(?s:.)",
        "[ab]",
        "[^a]",
        r"\w",
        r"\n",
        "(?i:A)",
        "€",
        r"\x{62}",
        "[\n-[]",
        "[^+-[]",
        r"[\]a]",
        "[]a-b]",
        "[[:alpha:]\n]",
        "[[:alpha:]--b]",
        "",
    ]
)
regexes = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + "|".join(parts) + ")"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "{0}"])).map(
            lambda r: f"(?:{r[0]}){r[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(regex=regexes, more=st.sampled_from([{}, {"exclude": "b"}, {"must_contain": ("ab", "ba")}, {"until_line": True}]),
       longest=st.integers(0, 9), choices=st.lists(st.integers(0, 3), min_size=9, max_size=9))  # fmt: skip
def test_a_table_lets_pass_what_the_engine_lets_pass(regex: str, more: dict, longest: int, choices: list[int]) -> None:
    limits = Limits(num_tokens=longest, regex=regex, **more)
    try:
        walk = Constraint(SMALL, limits).guide()
    except Exception as refused:
        with pytest.raises(type(refused), match=re.escape(str(refused))):
            Asked(SMALL, limits)
        return
    asked = Asked(SMALL, limits).guide()
    if "-[" in regex:
        assert isinstance(walk, EngineGuide)
        return
    assert isinstance(walk, DFAGuide)
    for choice in choices:
        may = walk.allowed()
        assert may.tolist() == asked.allowed().tolist()
        assert walk.is_accepting() == asked.is_accepting()
        assert walk.is_finished() >= asked.is_finished()  # the engine may notice later
        assert len(walk.completion()) <= walk.left
        if not may.any():
            return
        id = int(np.flatnonzero(may)[choice % may.sum()])
        walk.advance(id)
        asked.advance(id)


@pytest.fixture(scope="module")
def noise() -> CompiledBackend:
    """A model of fresh weights."""
    return CompiledBackend(CONFIG, len(VOCABULARY), weights_of(initialize(build(CONFIG, len(VOCABULARY)), 0)))


@pytest.mark.parametrize("name", REGULAR)
def test_a_table_writes_what_the_engine_writes(name: str, noise: CompiledBackend, monkeypatch) -> None:
    """Alone, in company, and with the model as PyTorch has it: the same texts, and the same ends."""
    samplers = {"ipv4": Sampler(greedy=True), "e-mail": Sampler(temperature=0.5, top_p=0.8), "json order": Sampler(top_k=20)}

    def written(model, seeds: range) -> list[tuple[str, str]]:
        sampler = samplers.get(name, Sampler())
        samples = write(model, VOCABULARY, "", sampler=sampler, limits=REGULAR[name], rng_seeds=seeds)
        return list(zip(samples.texts(), samples.ended, strict=True))

    company = written(noise, range(3))
    assert company == [written(noise, range(i, i + 1))[0] for i in range(3)]
    assert company[:1] == written(TorchBackend(initialize(build(CONFIG, len(VOCABULARY)), 0)), range(1))
    monkeypatch.setattr("letterwise.inference.generate.constraint_for", Asked)
    if REGULAR[name].regex:
        assert company == written(noise, range(3))
    else:  # of JSON, the engine may pass over characters near the end
        assert all(cases()[name][1](text) for text, _ in written(noise, range(10)))


@pytest.mark.parametrize("regex", [r"([a-z]{1,3}\n)+", r"(?s:.)*", r"(x\ny){2,5}z?"])
def test_a_model_of_lines_forgets_under_a_table_as_well(regex: str, monkeypatch) -> None:
    """Also where a text could end behind its line break: what was drawn there is drawn anew."""
    shape = build(CONFIG, len(VOCABULARY))
    model = CompiledBackend(CONFIG, len(VOCABULARY), weights_of(initialize(shape, 0)), line_break=VOCABULARY.line_break)
    asked = dict(sampler=Sampler(logit_bias={"\n": 3.0}), limits=Limits(num_tokens=40, regex=regex), rng_seeds=range(12))
    texts = write(model, VOCABULARY, "", **asked).texts()
    assert any("\n" in text for text in texts)
    monkeypatch.setattr("letterwise.inference.generate.constraint_for", Asked)
    assert write(model, VOCABULARY, "", **asked).texts() == texts


def test_the_end_is_as_likely_as_all_that_cannot_follow() -> None:
    """`a*b?` with two characters left, each as likely as the others, by hand: the four parts of the random number."""
    dfa = Constraint(SMALL, Limits(num_tokens=2, regex="a*b?")).dfa
    assert dfa is not None
    drawn = [draw_under_dfa(np.zeros(4, np.float32), dfa, START, 2, Sampler().filters, u / 4 + 1 / 8) for u in range(4)]
    assert drawn == [(END, True), (1, True), (2, True), (END, True)]
    assert draw_under_dfa(np.zeros(4, np.float32), dfa, START, 0, Sampler().filters, 0.0) == (END, False)
