"""Verbatim: the longest run of the training text that a model writes word for word, in so many characters of its own.

    python -m benchmarks.verbatim --model_paths out/with/model.safetensors out/without/model.safetensors

`expected` is the same for the validation text read in pieces of that length: what a text by the same author shares anyway.
"""

from benchmarks.record import flags, record
from letterwise.api import LanguageModel, load
from letterwise.data.stream import reopen

CHARS = 10_000


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--model_paths", nargs="+", required=True, help="model files, with their text still in the cache")
    asked = parser.parse_args()
    for path in asked.model_paths:
        model = load(path)
        train, held_out = own_text(model)
        run = longest_run(model.generate("", num_tokens=CHARS, temperature=1.0, rng_seed=1), train)
        expected = longest_run(held_out[:CHARS], train)
        about = dict(benchmark="verbatim", counts_order=model.config.model.counts_order, chars=CHARS)
        record(asked.append, **about, longest=len(run), run=run, expected=len(expected))


def own_text(model: LanguageModel) -> tuple[str, str]:
    """The model's training and validation text."""
    stream = reopen(model.data["fingerprint"])
    if stream is None:
        raise SystemExit("the model's text is no longer in the cache: train it again.")
    return tuple(stream.vocabulary.decode(stream.part(part)) for part in ("train", "val"))


def longest_run(written: str, source: str) -> str:
    """The longest stretch of `written` that stands in `source`."""
    start = best = 0
    for end in range(1, len(written) + 1):
        while written[end - best - 1 : end] in source and end - best - 1 >= 0:
            best, start = best + 1, end - best - 1
    return written[start : start + best]


if __name__ == "__main__":
    main()
