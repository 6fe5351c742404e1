"""DFA: a table allows what llguidance and Earley allow, character by character, and the same texts are written with each."""

import gc
import re
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.constraints import VOCABULARY, cases
from letterwise.checkpoint.weights import weights_of
from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.cache import constraint_cache, constraint_for
from letterwise.inference.constraints.constraint import Constraint
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.earley_guide import EarleyGuide
from letterwise.inference.constraints.language import nfa
from letterwise.inference.constraints.language.dfa import END, START, draw_under_dfa
from letterwise.inference.constraints.language.expression import CharClass, Choice, Concat, Repeat, TooLarge, Unsupported
from letterwise.inference.constraints.language.regex import parse
from letterwise.inference.constraints.language.subset_construction import dfa_of
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.llguidance.guide import LLGuidanceGuide
from letterwise.inference.constraints.request import ConstraintRequest
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.engine import Sequence
from letterwise.inference.generate import Generation, Request, generate
from letterwise.inference.sampling.filters import room_for
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import build, initialize

SMALL = Vocabulary("char", "\nabé")
REGULAR = {name: limits for name, (limits, _) in cases().items()}
CONFIG = ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=16, counts_order=0)


def without(*forms: str) -> Callable[..., Constraint]:
    """Makes constraints that have to do without some forms: the DFA, the RTN."""

    def constraint(vocabulary: Vocabulary, limits: Limits, compiled: object = None) -> Constraint:
        with pytest.MonkeyPatch.context() as patch:
            for form in forms:
                patch.setattr(ConstraintRequest, form, lambda *_: None)
            return Constraint(vocabulary, limits)

    return constraint


EARLEY, LLGUIDANCE = without("dfa"), without("dfa", "rtn")


def test_an_expression_is_read_as_it_is_built() -> None:
    b_or_class = Choice((Concat((CharClass("b"),)), Concat((CharClass("[^]c-e]"),))))
    assert parse("a(?:b|[^]c-e]){2,}") == Concat((CharClass("a"), Repeat(b_or_class, 2, None)))
    lazy = Repeat(CharClass(r"\p{Lu}", "i"), 0, None)
    assert parse(r"(?i)x|(?s:.)\p{Lu}*?") == Choice(
        (Concat((CharClass("x", "i"),)), Concat((Concat((CharClass(".", "is"),)), lazy)))
    )


@pytest.mark.parametrize(
    "regex", ["(?x) a", "a^b", r"a\z", r"\bx", "(?-u:a)", "(?U)a*", "a)b", "(a", "*a", "^a|b$", "[+-[]x]", "[a--[b]]", "[a"]
)
def test_what_is_not_read_is_left_to_llguidance(regex: str) -> None:
    with pytest.raises(Unsupported):
        parse(regex)


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller budget than usual: with its types checked, the code is slow."""
    monkeypatch.setattr(nfa, "BUDGET", nfa.BUDGET >> 4)


@pytest.mark.parametrize("regex", ["(?x) a  b?", "(a|b)*a(a|b){16}"])
def test_without_a_dfa_earley_or_llguidance_is_asked(regex: str, small_budget: None) -> None:
    guide = Constraint(SMALL, Limits(regex=regex)).guide()
    assert isinstance(guide, LLGuidanceGuide if "(?x)" in regex else EarleyGuide)
    assert SMALL.decode(np.flatnonzero(guide.allowed())) in ("a", "ab")


def test_what_was_read_wrongly_is_left_to_llguidance(monkeypatch) -> None:
    """Is it one character that a class stands for? llguidance is asked."""
    for wrong in ("[ab]é", "[ab]?", "a|ab"):
        monkeypatch.setattr("letterwise.inference.constraints.request.parse_whole", lambda regex, wrong=wrong: CharClass(wrong))
        assert isinstance(Constraint(SMALL, Limits(regex=wrong)).guide(), LLGuidanceGuide)


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


def test_more_time_is_the_same_dfa() -> None:
    kept = constraint_cache()
    one, other = (constraint_for(SMALL, Limits(regex="ab*", max_seconds=seconds), kept) for seconds in (5, 6))
    assert one is other


def test_what_was_compiled_for_a_model_goes_with_it() -> None:
    model = TorchBackend(initialize(build(CONFIG, len(VOCABULARY)), 0))
    limits = Limits(num_tokens=5, regex="[a-c]+")
    constraint = constraint_for(VOCABULARY, limits, model.constraints)
    generation = Generation(Sequence(model), VOCABULARY, Request(np.zeros(0, np.int64), Sampler(), limits))
    assert generation.guide.dfa is constraint.dfa
    held = weakref.ref(constraint)
    del constraint, generation
    gc.collect()
    assert held() is not None
    del model
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("regex", ["(a{200}){200}", "(a|b)*a(a|b){16}", "(){1000000000}", "(a*){6600}", "(a?){4900}"])
def test_a_dfa_may_not_grow_beyond_the_budget(regex: str, small_budget: None) -> None:
    with pytest.raises(TooLarge):
        dfa_of([parse(regex)], len(SMALL), mask_of)


@pytest.mark.parametrize("regex", ["(a{40}){40}", "(a|b)*a(a|b){6}", "(){1000}", "(a*){100}", "(a?){30}"])
def test_what_is_smaller_has_a_dfa(regex: str, small_budget: None) -> None:
    assert dfa_of([parse(regex)], len(SMALL), mask_of).distances[START] in (0, 7, 1600)  # all of them can be met


def mask_of(char_class: CharClass) -> np.ndarray:
    return np.arange(len(SMALL)) == SMALL.encode(char_class.source)[0]


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
def test_a_dfa_allows_what_earley_and_llguidance_allow(regex: str, more: dict, longest: int, choices: list[int]) -> None:
    limits = Limits(num_tokens=longest, regex=regex, **more)
    try:
        guide = Constraint(SMALL, limits).guide()
    except Exception as refused:
        with pytest.raises(type(refused), match=re.escape(str(refused))):
            EARLEY(SMALL, limits)
        with pytest.raises(type(refused)):
            LLGUIDANCE(SMALL, limits)
        return
    others = [EARLEY(SMALL, limits).guide(), LLGUIDANCE(SMALL, limits).guide()]
    if "-[" in regex:
        assert isinstance(guide, LLGuidanceGuide)
        return
    assert isinstance(guide, DFAGuide)
    for choice in choices:
        may = guide.allowed()
        for other in others:
            assert may.tolist() == other.allowed().tolist()
            assert guide.is_accepting() == other.is_accepting()
            assert guide.is_finished() >= other.is_finished()  # llguidance may notice later
        assert len(guide.completion()) <= guide.left
        if not may.any():
            return
        id = int(np.flatnonzero(may)[choice % may.sum()])
        guide.advance(id)
        for other in others:
            other.advance(id)


@pytest.fixture(scope="module")
def noise() -> CompiledBackend:
    """A model of fresh weights."""
    return CompiledBackend(CONFIG, len(VOCABULARY), weights_of(initialize(build(CONFIG, len(VOCABULARY)), 0)))


@pytest.mark.parametrize("name", REGULAR)
def test_a_dfa_writes_what_earley_and_llguidance_write(name: str, noise: CompiledBackend, monkeypatch) -> None:
    """Alone, in company, and with the model as PyTorch has it: the same texts, and the same ends."""
    samplers = {"ipv4": Sampler(greedy=True), "e-mail": Sampler(temperature=0.5, top_p=0.8), "json order": Sampler(top_k=20)}

    def written(model, seeds: range) -> list[tuple[str, str]]:
        sampler = samplers.get(name, Sampler())
        samples = generate(model, VOCABULARY, "", sampler=sampler, limits=REGULAR[name], rng_seeds=seeds)
        return list(zip(samples.texts(), samples.ended, strict=True))

    company = written(noise, range(3))
    assert company == [written(noise, range(i, i + 1))[0] for i in range(3)]
    assert company[:1] == written(TorchBackend(initialize(build(CONFIG, len(VOCABULARY)), 0)), range(1))
    monkeypatch.setattr("letterwise.inference.generate.constraint_for", EARLEY)
    assert company == written(noise, range(3))
    monkeypatch.setattr("letterwise.inference.generate.constraint_for", LLGUIDANCE)
    if REGULAR[name].regex:
        assert company == written(noise, range(3))
    else:  # of JSON, it may refuse characters near the end
        assert all(cases()[name][1](text) for text, _ in written(noise, range(10)))


@pytest.mark.parametrize("regex", [r"([a-z]{1,3}\n)+", r"(?s:.)*", r"(x\ny){2,5}z?"])
def test_a_model_of_lines_forgets_under_a_dfa_as_well(regex: str, monkeypatch) -> None:
    """Also where a text could end behind its line break: what was drawn there is drawn anew."""
    shape = build(CONFIG, len(VOCABULARY))
    model = CompiledBackend(CONFIG, len(VOCABULARY), weights_of(initialize(shape, 0)), line_break=VOCABULARY.line_break)
    options = dict(sampler=Sampler(logit_bias={"\n": 3.0}), limits=Limits(num_tokens=40, regex=regex), rng_seeds=range(12))
    texts = generate(model, VOCABULARY, "", **options).texts()
    assert any("\n" in text for text in texts)
    monkeypatch.setattr("letterwise.inference.generate.constraint_for", EARLEY)
    assert generate(model, VOCABULARY, "", **options).texts() == texts


def test_the_end_is_as_likely_as_all_that_cannot_follow() -> None:
    """`a*b?` with two characters left, each as likely as the others, by hand: the four parts of the random number."""
    dfa = Constraint(SMALL, Limits(num_tokens=2, regex="a*b?")).dfa
    assert dfa is not None
    asked, room = Sampler().filters, room_for(4)
    drawn = [draw_under_dfa(np.zeros(4, np.float32), dfa, START, 2, asked, u / 4 + 1 / 8, room) for u in range(4)]
    assert drawn == [(END, True), (1, True), (2, True), (END, True)]
    assert draw_under_dfa(np.zeros(4, np.float32), dfa, START, 0, asked, 0.0, room) == (END, False)
