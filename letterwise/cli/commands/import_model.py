"""`letterwise import`: a form over `letterwise.import_model`."""

from typing import Any

from letterwise.cli.flags import Parser, number
from letterwise.cli.output import json_to_stdout, line_to_stdout, terminal_safe


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument(
        "checkpoint",
        metavar="FILE",
        help="checkpoint of nanoGPT (ckpt.pt), minGPT or build-nanogpt, or a Hugging Face folder (GPT-2, Llama, OPT)",
    )
    parser.add_argument("--output_file", metavar="FILE", required=True, help="model file to write: .safetensors or .pth")
    parser.add_argument(
        "--meta", metavar="FILE", help="nanoGPT's meta.pkl, with its characters (default: looked for beside the checkpoint)"
    )
    parser.add_argument(
        "--vocabulary_from", nargs="+", metavar="PATH", help="the text it learned: its sorted characters are the tokens"
    )
    parser.add_argument("--n_head", type=number(int), metavar="N", help="attention heads, where the checkpoint does not say it")
    parser.add_argument(
        "--activation",
        metavar="NAME",
        help="gelu_erf (nanoGPT) or gelu (GPT-2), where the checkpoint does not say it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Import."""
    checkpoint, output, as_json = flags.pop("checkpoint"), flags.pop("output_file"), flags.pop("json", False)
    from letterwise.api import import_model
    from letterwise.checkpoint.model_file import check_extension
    from letterwise.progress import PlainProgress

    check_extension(output, "--output_file")
    model = import_model(checkpoint, **flags, device="cpu", progress=PlainProgress())
    model.save(output)
    shape, size, program = model.config.model, len(model.vocabulary), model.file.imported
    if as_json:
        names = ("n_layer", "n_head", "n_embd", "block_size")
        facts = {name: getattr(shape, name) for name in names} | {"params": model.params, "vocab_size": size}
        json_to_stdout({"model_path": output, "imported_from": program, **facts})
        return 0
    alphabet = "bytes" if model.vocabulary.kind == "byte" else f"{size} characters"
    line_to_stdout(
        f"{program}: {shape.n_layer} layers, {shape.n_head} heads, width {shape.n_embd}, context {shape.block_size}, "
        f"{model.params:,} parameters, {alphabet}: {terminal_safe(output)}"
    )
    return 0
