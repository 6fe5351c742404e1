"""`letterwise sweep`: a form over `letterwise.sweep.search.sweep`."""

from dataclasses import asdict
from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import json_to_stdout, terminal_safe, to_stderr, to_stdout
from letterwise.cli.program import place, program, words
from letterwise.distributed.environment import started_by_torchrun
from letterwise.errors import UserError


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    space = "TOML file that says which flags of train vary, and how (docs/guide.md)"
    parser.add_argument("--space", required=True, metavar="FILE", help=space)
    out = "folder of the sweep (default: out/sweep-SPACE); where it is there, go on with it, or take part in it"
    parser.add_argument("--out", metavar="DIR", help=out)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON on stdout")


def run(flags: dict[str, Any]) -> int:
    """Search, and print the result."""
    if started_by_torchrun():
        raise UserError("each trial of a sweep is one process: start `letterwise sweep` several times instead of torchrun.")
    try:
        from letterwise.sweep.search import sweep
    except ModuleNotFoundError as error:
        if (error.name or "letterwise").split(".")[0] == "letterwise":
            raise
        raise UserError(f"a sweep needs {error.name}: pip install 'letterwise[sweep]'.") from None
    from letterwise.progress import progress_for_terminal
    from letterwise.training.interruption import Interrupted

    try:
        result = sweep(flags["space"], flags.get("out"), progress=progress_for_terminal())
    except Interrupted as interrupted:
        to_stderr(f"letterwise: {interrupted}: the same command goes on from there.")
        return 128 + interrupted.signal_number
    if flags.get("json"):
        json_to_stdout(asdict(result))
        return 0
    trials = ", ".join(f"{count} {state}" for state, count in result.trials.items())
    figure = f"{result.best_nats_per_char:.4f} nats = {result.best_bits_per_char:.4f} bits per character"
    values = terminal_safe(" ".join(f"{name}={value}" for name, value in result.best_values.items()))
    command = f"{program('train')} {words(['--config', place(result.best_config)])}"
    to_stdout(f"\ntrial {result.best_trial}: {figure} ({trials})\n{values}\n{terminal_safe(result.report)}\n{command}\n")
    return 0
