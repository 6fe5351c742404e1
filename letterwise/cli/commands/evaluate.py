"""`letterwise evaluate`: a form over `LanguageModel.evaluate`."""

from typing import Any

from letterwise.cli.flags import ENCODING_HELP, Parser
from letterwise.cli.output import json_to_stdout, to_stdout


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that `letterwise train` wrote")
    parser.add_argument("--input_file", nargs="+", metavar="PATH", help="another text (default: the one it was trained on)")
    parser.add_argument(
        "--split",
        choices=("all", "train", "val", "test"),
        help="which part (default: val of the model's own text, all of another)",
    )
    parser.add_argument(
        "--protocol",
        choices=("blocks", "sliding", "online", "primed"),
        help="how much context each character has: windows of block_size side by side (blocks), or overlapping by half "
        "(sliding); online also learns from each character after scoring it, "
        "and primed has read the training text before (default: blocks)",
    )
    parser.add_argument(
        "--unknown",
        choices=("error", "skip"),
        help="characters that the model does not know: refuse, or leave out (default: error)",
    )
    parser.add_argument("--encoding", metavar="NAME", help=ENCODING_HELP)
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Measure."""
    path, device, as_json = flags.pop("model_path"), flags.pop("device", "auto"), flags.pop("json", False)
    from letterwise.api import load
    from letterwise.progress import PlainProgress

    score = load(path, device=device).evaluate(progress=PlainProgress(), **flags)
    if as_json:
        json_to_stdout({
            "nats_per_char": score.nats_per_char,
            "bits_per_char": score.bits_per_char,
            "chars": score.chars,
            "protocol": score.protocol,
            "context": score.context,
            "bits_per_byte": score.bits_per_byte,
            "bits_per_char_interval": score.interval_bits,
            "counting_bits_per_char": score.counting_bits_per_char,
            "xz_bits_per_char": score.xz_bits_per_char,
            **({"skipped_chars": score.tally.skipped, "text_chars": score.tally.read} if score.tally else {}),
        })  # fmt: skip
    else:
        left_out = f"; {score.tally}" if score.tally else ""
        to_stdout(
            f"{score.bits_per_char:.4f} bits = {score.nats_per_char:.4f} nats per character "
            f"over {score.chars:,} characters ({score.protocol}, context {score.context}{left_out})\n"
        )
        if score.interval_bits:
            low, high = score.interval_bits
            to_stdout(f"95 % interval: {low:.4f} to {high:.4f} bits per character; {score.bits_per_byte:.4f} bits per byte\n")
        if score.xz_bits_per_char is not None:
            to_stdout(f"xz -9e, on this text alone: {score.xz_bits_per_char:.4f} bits\n")
        if score.counting_bits_per_char is not None:
            to_stdout(f"counting alone: {score.counting_bits_per_char:.4f} bits; this model: {score.bits_per_char:.4f}\n")
    return 0
