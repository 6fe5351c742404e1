"""Matching: a place in one or several grammars at once, and which characters may follow.

    vocabulary ──▶ Alphabet      each id as its UTF-8 bytes, and one id more for the end
    grammar ──▶ Place ──allowed──▶ (V,) bool ──take(id)──▶ the next place

llguidance (Lark grammars, JSON schemas, regexes with & in them) finds the masks. Where a grammar is one regex, no place is a
dead end; in other grammars one may be, where the only way on leads through characters that the vocabulary does not have.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.sentences import in_plain_words

START_FUEL, STEP_FUEL = 50_000_000, 5_000_000  # at most a second or so of thought at the start, and 0.3 s at a step
SHORT_GRAMMAR, LONGEST_GRAMMAR = 500, 200_000  # characters
STACK_BYTES = 2**28  # measured: 3.4 KB for a rule (of 4 characters or more), 10 KB for a reference (of 40)
STACKS = threading.Lock()  # the size of the next thread's stack is everybody's
NO_TEXT = b"\xff"  # how llguidance marks a token that no text is made of


def engine() -> Any:
    """llguidance, loaded when it is first needed: most texts need not wait for it."""
    import llguidance

    return llguidance


def with_stack(make: Callable[[], Any]) -> Any:
    """What a function returns that is called where there is room for deep recursion. Raises `UserError` where there is none."""
    made: list[Any] = []
    try:
        with STACKS:
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
    """What llguidance asks of a tokenizer. Behind the vocabulary and the end stand the bytes that are no character of it: it
    wants to spell whatever a grammar forces, and they are not looked at when it does."""

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


class Alphabet:
    """The ids of a vocabulary, as llguidance knows them. `usable` (None: all) are those that may be written."""

    def __init__(self, vocabulary: Vocabulary, usable: Bool[np.ndarray, "V"] | None = None) -> None:
        self.size = len(vocabulary)
        if vocabulary.kind == "byte":
            texts = [bytes([i]) for i in range(255)] + [b""]  # 255 is in no UTF-8
        else:
            texts = [character.encode("utf-8", "ignore") for character in vocabulary.characters]  # no lone surrogates
        if usable is not None:
            texts = [text if may else b"" for text, may in zip(texts, usable, strict=True)]
        self.tokenizer = engine().LLTokenizer(engine().TokenizerWrapper(_Tokens(texts)), slices=[])

    def place(self, *grammars: str) -> "Place":
        """Where a text begins. Raises `UserError` for a grammar that llguidance does not understand."""
        matchers = [self._matcher(grammar) for grammar in grammars]
        for matcher in matchers:
            if matcher.is_error():
                raise UserError(reason(matcher))
        return Place(self.size, matchers)

    def _matcher(self, grammar: str) -> Any:
        """llguidance follows rules that lead to rules, and references, on the stack: a long chain of them would overflow it."""
        if len(grammar) > LONGEST_GRAMMAR:
            raise UserError(f"it has {len(grammar):,} characters, and {LONGEST_GRAMMAR:,} are the most: say it in fewer")
        effort = engine().LLParserLimits(initial_lexer_fuel=START_FUEL, step_lexer_fuel=STEP_FUEL, verbose_errors=False)
        make = functools.partial(engine().LLMatcher, self.tokenizer, grammar, log_level=0, limits=effort)
        return make() if len(grammar) <= SHORT_GRAMMAR else with_stack(make)


class Place:
    """A place in all of the grammars."""

    def __init__(self, size: int, matchers: Sequence[Any]) -> None:
        self.size, self.matchers = size, matchers

    def fork(self) -> "Place":
        """Another that goes its own way from here."""
        return Place(self.size, [matcher.deep_copy() for matcher in self.matchers])

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters every grammar lets follow (V,)."""
        masks = [self._mask(matcher) for matcher in self.matchers]
        return masks[0] if len(masks) == 1 else functools.reduce(np.logical_and, masks)

    def _mask(self, matcher: Any) -> np.ndarray:
        mask = np.frombuffer(matcher.compute_logit_bias(), np.uint8)[: self.size] != 0
        if matcher.is_error():
            if matcher.stop_reason() == "InternalError" and "NoExtension" in matcher.get_error():
                return np.zeros(self.size, bool)  # a dead end
            raise UserError(
                "this schema or grammar has too many choices at one place: make it smaller, or say what is required."
            )
        return mask

    def is_accepting(self) -> bool:
        """Is the text whole?"""
        return all(matcher.is_accepting() for matcher in self.matchers)

    def is_finished(self) -> bool:
        """Is the text whole, and can nothing follow?"""
        return any(matcher.is_stopped() for matcher in self.matchers) and self.is_accepting()

    def advance(self, id: int) -> None:
        """Go on by a character that is allowed."""
        for matcher in self.matchers:
            matcher.consume_token(id)

    def leads(self, ids: list[int]) -> bool:
        """May these follow, all of them?"""
        return all(matcher.validate_tokens(ids) == len(ids) for matcher in self.matchers)

    def completes(self, ids: Sequence[int]) -> bool:
        """Would the text be whole after these?"""
        return self.leads([*ids, self.size]) if ids else self.is_accepting()


def reason(matcher: Any) -> str:
    """The sentence in llguidance's report of an error, in plain words."""
    lines = [line.strip() for line in matcher.get_error().splitlines()]
    told = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return in_plain_words(told.removesuffix("."))
