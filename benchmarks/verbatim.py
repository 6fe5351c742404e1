"""Verbatim: how much of its training text a model writes word for word, in so many characters of its own.

    python -m benchmarks.verbatim --model_paths out/with/model.safetensors out/without/model.safetensors

`expected` is the same for as much of the validation text: what a text by the same author shares anyway. `limited` is for what
it writes with `--max_copy 20`. Beside it stands what it takes to know, in seconds, and to write, in microseconds a character.
"""

import time

from benchmarks.record import flags, record
from letterwise.api import LanguageModel, load

CHARS, MAX_COPY = 10_000, 20


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--model_paths", nargs="+", required=True, help="model files, with their training text still there")
    asked = parser.parse_args()
    for path in asked.model_paths:
        model = load(path)
        model.novelty(model.generate(num_tokens=10, max_copy=MAX_COPY))  # what can be made beforehand is there now
        pairs = [(write(model), write(model, max_copy=MAX_COPY)) for _ in range(asked.rounds)]  # they take turns
        (text, free_us), (bounded, bounded_us) = map(min, zip(*pairs, strict=True))
        began = time.perf_counter()
        found = model.novelty(text)
        told_s = time.perf_counter() - began
        expected, limited = model.novelty(model.held_out()[:CHARS]), model.novelty(bounded)
        assert found.longest
        assert expected.longest
        assert limited.longest
        about = dict(
            benchmark="verbatim", preset=model.config.preset, counts_order=model.config.model.counts_order, chars=CHARS
        )
        longest = dict(longest=found.longest.chars, expected=expected.longest.chars, limited=limited.longest.chars)
        costs = dict(novelty_s=told_s, free_us=free_us, max_copy_us=bounded_us)
        shares = dict(shares=found.shares, expected_shares=expected.shares)
        record(asked.append, **about, **longest, run=found.longest.text, **shares, **costs)


def write(model: LanguageModel, **options: int) -> tuple[str, float]:
    """A text, and the microseconds that each of its characters took."""
    began = time.perf_counter()
    text = model.generate(num_tokens=CHARS, rng_seed=1, **options)
    return text, (time.perf_counter() - began) / CHARS * 1e6


if __name__ == "__main__":
    main()
