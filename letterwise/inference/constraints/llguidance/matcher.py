"""Matcher: a place in one or several of llguidance's grammars at once, and which characters may follow.

    vocabulary ──▶ Tokenizer     each id as its UTF-8 bytes, and one id more for the end
    grammars ──▶ Matcher ──allowed──▶ (V,) bool ──advance(id)──▶ the next place

llguidance reads Lark grammars, JSON schemas, and regexes with & in them. Where a grammar is one regex, no place is a
dead end. In other grammars a place may be one: the only way on may need characters that the vocabulary does not have.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.llguidance.messages import in_plain_words
from letterwise.shapes import Bool

START_FUEL, STEP_FUEL = 50_000_000, 5_000_000  # llguidance's budgets: at most about 1 s at the start, 0.3 s a step
SHORT_GRAMMAR, MAX_GRAMMAR = 500, 200_000  # characters
STACK_BYTES = 2**28  # measured: 3.4 KB for a rule (of 4 characters or more), 10 KB for a reference (of 40)
STACK_SIZE = threading.Lock()  # the stack size of new threads is set for the whole process
NO_TEXT = b"\xff"  # how llguidance marks a token that no text is made of


def library() -> Any:
    """llguidance, imported when it is first needed: most texts need not wait for it."""
    import llguidance

    return llguidance


def lark_regex(regex: str) -> str:
    """A regex as it stands between slashes in a Lark grammar. Raises `UserError` where that cannot be."""
    return library().regex_to_lark(regex, "") or "(?:)"


def intersection(lark_regexes: Sequence[str]) -> str:
    """A grammar of the texts that match all of these."""
    return "start: TEXT\nTEXT: " + " & ".join(f"/{regex}/" for regex in lark_regexes)


def with_large_stack(make: Callable[[], Any]) -> Any:
    """What `make` returns, called in a thread with room for deep recursion. Raises `UserError` where there is no memory."""
    made: list[Any] = []
    try:
        with STACK_SIZE:
            before = threading.stack_size(STACK_BYTES)
            try:
                thread = threading.Thread(target=lambda: made.append(make()), daemon=True)
                thread.start()
            finally:
                threading.stack_size(before)
    except RuntimeError:  # no memory for another thread
        raise UserError(f"there is no memory to read it: it takes up to {STACK_BYTES >> 20} MiB") from None
    thread.join()
    return made[0]


class _Tokens:
    """What llguidance asks of a tokenizer.

    Behind the vocabulary and the end token stand the bytes that are no character of it: llguidance wants to spell whatever a
    grammar forces. Their places in a mask are not looked at.
    """

    bos_token_id = None

    def __init__(self, texts: list[bytes]) -> None:
        known = set(texts)
        others = [byte for byte in (bytes([i]) for i in range(255)) if byte not in known]
        self.tokens = [*(text or NO_TEXT + b"<%d>" % i for i, text in enumerate(texts)), NO_TEXT + b"<end>", *others]
        self.eos_token_id = len(texts)
        self.special_token_ids = [i for i, token in enumerate(self.tokens) if token.startswith(NO_TEXT)]
        self.ids = {token: i for i, token in enumerate(self.tokens)}

    def __call__(self, text: bytes) -> list[int]:
        ids, at = [], 0
        while at < len(text):
            longest = next(n for n in (4, 3, 2, 1) if text[at : at + n] in self.ids)
            ids.append(self.ids[text[at : at + longest]])
            at += longest
        return ids


class Tokenizer:
    """The ids of a vocabulary, as llguidance knows them. `usable` (None: all) are those that may be written."""

    def __init__(self, vocabulary: Vocabulary, usable: Bool[np.ndarray, "V"] | None = None) -> None:
        self.vocab_size = len(vocabulary)
        if vocabulary.kind == "byte":
            texts = [bytes([i]) for i in range(255)] + [b""]  # 255 is in no UTF-8
        else:
            texts = [character.encode("utf-8", "ignore") for character in vocabulary.characters]  # no lone surrogates
        if usable is not None:
            texts = [text if may else b"" for text, may in zip(texts, usable, strict=True)]
        self.tokenizer = library().LLTokenizer(library().TokenizerWrapper(_Tokens(texts)), slices=[])

    def matcher(self, *grammars: str) -> "Matcher":
        """The beginning of a text. Raises `UserError` for a grammar that llguidance does not understand."""
        matchers = [self._matcher(grammar) for grammar in grammars]
        for matcher in matchers:
            if matcher.is_error():
                raise UserError(reason(matcher))
        return Matcher(self.vocab_size, matchers)

    def _matcher(self, grammar: str) -> Any:
        """llguidance follows rules that lead to rules, and references, on the stack: a long chain would overflow it."""
        if len(grammar) > MAX_GRAMMAR:
            raise UserError(f"it has {len(grammar):,} characters, and {MAX_GRAMMAR:,} are the most: make it shorter")
        limits = library().LLParserLimits(initial_lexer_fuel=START_FUEL, step_lexer_fuel=STEP_FUEL, verbose_errors=False)
        make = functools.partial(library().LLMatcher, self.tokenizer, grammar, log_level=0, limits=limits)
        return make() if len(grammar) <= SHORT_GRAMMAR else with_large_stack(make)


class Matcher:
    """A place in all of the grammars: an LLMatcher for each."""

    def __init__(self, vocab_size: int, matchers: Sequence[Any]) -> None:
        self.vocab_size, self.matchers = vocab_size, matchers

    def fork(self) -> "Matcher":
        """A copy that goes its own way from here."""
        return Matcher(self.vocab_size, [matcher.deep_copy() for matcher in self.matchers])

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters every grammar lets follow (V,)."""
        masks = [self._mask(matcher) for matcher in self.matchers]
        return masks[0] if len(masks) == 1 else functools.reduce(np.logical_and, masks)

    def _mask(self, matcher: Any) -> np.ndarray:
        mask = np.frombuffer(matcher.compute_logit_bias(), np.uint8)[: self.vocab_size] != 0
        if matcher.is_error():
            if matcher.stop_reason() == "InternalError" and "NoExtension" in matcher.get_error():
                return np.zeros(self.vocab_size, bool)  # a dead end
            raise UserError("this constraint has too many choices at one place: make it smaller, or say what is required.")
        return mask

    def is_accepting(self) -> bool:
        """Does the text match as it stands?"""
        return all(matcher.is_accepting() for matcher in self.matchers)

    def is_finished(self) -> bool:
        """Does the text match, and can nothing follow?"""
        return any(matcher.is_stopped() for matcher in self.matchers) and self.is_accepting()

    def is_dead_end(self) -> bool:
        """Does the text not match, and can nothing follow?"""
        return not self.is_accepting() and not self.allowed().any()

    def advance(self, id: int) -> None:
        """Read an allowed character."""
        for matcher in self.matchers:
            matcher.consume_token(id)

    def accepts(self, ids: list[int]) -> bool:
        """May all of these follow?"""
        return all(matcher.validate_tokens(ids) == len(ids) for matcher in self.matchers)

    def completed_by(self, ids: Sequence[int]) -> bool:
        """Would the text match after these?"""
        return self.accepts([*ids, self.vocab_size]) if ids else self.is_accepting()


def reason(matcher: Any) -> str:
    """The sentence in llguidance's report of an error, in plain words."""
    lines = [line.strip() for line in matcher.get_error().splitlines()]
    sentence = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return in_plain_words(sentence.removesuffix("."))
