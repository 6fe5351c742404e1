"""Refusal: why no text can match, in a sentence. Too few characters, characters that the model lacks, or nothing at all."""

import math
import time
from dataclasses import replace

from letterwise.data.vocabulary import SHOWN, Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.earley_guide import EarleyGuide
from letterwise.inference.constraints.language.dfa import DFA, START, UNREACHABLE
from letterwise.inference.constraints.language.rtn import NEVER, RTN
from letterwise.inference.constraints.limits import MAX_CHARS
from letterwise.inference.constraints.llguidance.completion import MAX_SECONDS, BudgetSpent, find_completion
from letterwise.inference.constraints.llguidance.grammars import ANY_TEXT
from letterwise.inference.constraints.llguidance.matcher import Tokenizer
from letterwise.inference.constraints.request import BYTES, ConstraintRequest


def refusal(request: ConstraintRequest, dfa: DFA | None, rtn: RTN | None) -> UserError:
    """What to say of a request that no text can meet, where it was compiled to `dfa` or `rtn`, or else by llguidance."""
    limits, vocabulary = request.limits, request.vocabulary
    needed = _chars_needed(request, dfa, rtn)
    if needed > MAX_CHARS:
        return UserError(f"no text of at most {MAX_CHARS:,} characters matches, and a constraint allows no longer ones.")
    if needed:
        return UserError(
            f"num_tokens={limits.num_tokens} is too short: a text that matches takes {needed}. Raise --num_tokens."
        )
    read_here = dfa or rtn or request.fewest is not None
    text = _text_of_more_characters(request) if read_here else _text_in_bytes(request)
    if text is None:
        return UserError(
            f"no text of this model's vocabulary, of at most {MAX_CHARS:,} characters, matches all that is asked: ask for less."
        )
    missing = [c for c in sorted(set(text)) if c not in vocabulary]
    if missing:
        return UserError(
            f"no text of this model's vocabulary can match: {text[: 4 * SHOWN]!r} would, "
            f"but the model has never seen {''.join(missing[:SHOWN])!r}."
        )
    return UserError(
        f"--charset and --exclude leave no text that matches: {text[: 4 * SHOWN]!r} would, but must not be written."
    )


def _chars_needed(request: ConstraintRequest, dfa: DFA | None, rtn: RTN | None) -> int:
    """How many characters a text that matches takes: the fewest if that is sure, else as found; 0 if there is none."""
    if request.fewest is not None:
        return int(request.fewest) if request.fewest < math.inf else 0
    if roomy_dfa := request.dfa(MAX_CHARS) if dfa else None:
        return int(roomy_dfa.distances[START]) if roomy_dfa.distances[START] < UNREACHABLE else 0
    if roomy_rtn := request.rtn(MAX_CHARS) if dfa or rtn else None:
        distance = EarleyGuide(roomy_rtn, MAX_CHARS).distance()
        return distance if distance < NEVER else 0
    if rtn and (distance := EarleyGuide(rtn, MAX_CHARS).distance()) < NEVER:
        return distance  # where that takes too few characters for some of what may be repeated, no more is known
    if not request.without_dead_ends:
        return len(request.search(request.matcher(None), MAX_CHARS) or ())
    if request.matcher(None).is_dead_end():
        return 0
    if request.matcher(MAX_CHARS).is_dead_end():
        return MAX_CHARS + 1
    too_few, enough, until = request.limits.num_tokens, MAX_CHARS, time.thread_time() + MAX_SECONDS
    while enough - too_few > 1:
        if time.thread_time() > until:
            raise UserError(
                f"num_tokens={request.limits.num_tokens} is too short: a text that matches takes more than {too_few} "
                f"characters; how many was not found in {MAX_SECONDS:g} seconds. Raise --num_tokens, up to {enough}."
            )
        middle = (too_few + enough) // 2
        too_few, enough = (middle, enough) if request.matcher(middle).is_dead_end() else (too_few, middle)
    return enough


def _text_of_more_characters(request: ConstraintRequest) -> str | None:
    """What a model would write that knows more characters, too: ASCII, and those that are asked for."""
    limits, vocabulary = request.limits, request.vocabulary
    asked = f"{limits.regex or ''}{limits.json_schema or ''}{limits.grammar or ''}{''.join(request.texts)}"
    more = {*map(chr, range(1, 128)), *asked} - {*vocabulary.characters}
    if not more and request.usable is None:
        return None
    wider = Vocabulary("char", vocabulary.characters + "".join(sorted(more)))
    try:
        ids = _shortest_text(ConstraintRequest(wider, replace(limits, num_tokens=MAX_CHARS, charset=None, exclude="")))
    except UserError:
        return None
    return None if ids is None else wider.decode(ids)


def _shortest_text(request: ConstraintRequest) -> list[int] | None:
    """The ids of the shortest text that matches, or of the first one found; None where there is none, or no time."""
    if dfa := request.dfa(MAX_CHARS):
        return DFAGuide(dfa, MAX_CHARS).completion() if dfa.distances[START] <= MAX_CHARS else None
    if rtn := request.rtn(MAX_CHARS):
        guide, ids, until = EarleyGuide(rtn, MAX_CHARS), list[int](), time.thread_time() + MAX_SECONDS
        if guide.distance() > MAX_CHARS:
            return None
        while not guide.is_accepting():
            if time.thread_time() > until:
                return None
            ids.append(guide.step_to_end())
        return ids
    return request.search(request.matcher(MAX_CHARS), MAX_CHARS)


def _text_in_bytes(request: ConstraintRequest) -> str | None:
    """What a model of bytes would write."""
    phrases = [list(text.encode()) for text in request.texts]
    try:
        ids = find_completion(Tokenizer(BYTES).matcher(*request.grammars(ANY_TEXT)), MAX_CHARS, phrases=phrases)
    except (UserError, BudgetSpent):
        return None
    return None if ids is None else BYTES.decode(ids)
