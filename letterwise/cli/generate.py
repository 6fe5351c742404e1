"""`letterwise generate`: a form over `LanguageModel.stream`."""

import secrets
import sys
from typing import Any

from letterwise.cli.flags import Parser, number
from letterwise.cli.output import end_line, say, say_json
from letterwise.errors import UserError

BETWEEN_SAMPLES = "\n---------------\n"


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that `letterwise train` wrote")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--seed", metavar="TEXT", help="text to start from; may be empty")
    start.add_argument("--prompt", metavar="TEXT", help="the same")
    parser.add_argument("--num_tokens", type=number(int), metavar="N", help="characters to write (default: 100)")
    parser.add_argument("--temperature", type=number(float), metavar="X", help="below 1 safer, above 1 wilder (default: 1)")
    parser.add_argument("--top_k", type=number(int), metavar="K", help="draw from the K likeliest only")
    parser.add_argument("--top_p", type=number(float), metavar="P", help="draw from the likeliest that hold P together")
    parser.add_argument(
        "--min_p", type=number(float), metavar="P", help="draw from those at least P times as likely as the likeliest"
    )
    parser.add_argument("--greedy", action="store_true", help="always the likeliest character")
    parser.add_argument("--stop", action="append", metavar="TEXT", help="end before this text; may be given several times")
    parser.add_argument("--num_samples", type=number(int), metavar="K", help="how many continuations (default: 1)")
    parser.add_argument("--rng_seed", type=number(int), metavar="N", help="equal seeds write equal text; sample k uses N+k")
    parser.add_argument("--unknown", choices=("error", "skip"), help="characters outside the vocabulary (default: error)")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the text")


def run(flags: dict[str, Any]) -> int:
    """Write."""
    path, device = flags.pop("model_path"), flags.pop("device", "auto")
    prompt = flags.pop("seed", flags.pop("prompt", ""))
    samples, as_json = flags.pop("num_samples", 1), flags.pop("json", False)
    if samples < 1:
        raise UserError(f"--num_samples {samples} must be 1 or more.")
    first_seed = flags.pop("rng_seed", secrets.randbits(32))
    from letterwise.api import load

    model = load(path, device=device)
    written: list[dict[str, Any]] = []
    for seed in range(first_seed, first_seed + samples):
        pieces = model.stream(prompt, rng_seed=seed, **flags)
        if as_json:
            written.append({"text": "".join(pieces), "rng_seed": seed})
            continue
        say((BETWEEN_SAMPLES if seed > first_seed else "") + prompt)
        for piece in pieces:
            say(piece)
    if as_json:
        say_json({"prompt": prompt, "samples": written})
    else:
        end_line()
    sys.stdout.flush()
    return 0
