"""`letterwise inspect`: a form over `load_model`."""

from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import json_to_stdout, to_stdout
from letterwise.printable import printable


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file")
    parser.add_argument("--json", action="store_true", help="one JSON object, complete")


def run(flags: dict[str, Any]) -> int:
    """Show."""
    from letterwise.checkpoint import load_model
    from letterwise.checkpoint.facts import facts
    from letterwise.config.accounting import cache_bytes, flops_per_char

    file = load_model(flags["model_path"])
    shapes, params = [network.model for network in file.networks], file.params
    flops, cache = sum(flops_per_char(shape, len(file.vocabulary)) for shape in shapes), sum(map(cache_bytes, shapes))
    if flags.get("json"):
        costs = {"params": params, "flops_per_char": flops, "cache_bytes": cache}
        json_to_stdout({**file.header(), **costs, "weights": {name: list(w.shape) for name, w in sorted(file.arrays.items())}})
        return 0
    to_stdout(f"{'parameters':<14} {params:,}\n{'per character':<14} {flops:,} FLOPs; a full KV cache is {cache:,} bytes\n")
    for name, value in facts(file).items():
        to_stdout(f"{name:<14} {printable(value, one_line=True)}\n")
    for row in file.history:
        losses = {"train": row["train_nats_per_char"], "val": row["val_nats_per_char"]}
        nats = "".join(f"  {name} {value:.4f}" for name, value in losses.items() if value is not None)
        to_stdout(f"  step {row['step']:>7}{nats} nats\n")
    return 0
