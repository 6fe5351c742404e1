"""`letterwise export`: a form over `LanguageModel.export`."""

from typing import Any

from letterwise.cli.flags import Parser, number
from letterwise.cli.output import json_to_stdout, line_to_stdout, terminal_safe, to_stderr


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that `letterwise train` wrote")
    parser.add_argument(
        "--to",
        choices=("hf", "gguf", "onnx", "html"),
        required=True,
        help="for whom: transformers (hf), llama.cpp (gguf), onnxruntime (onnx), a browser without anything else (html)",
    )
    parser.add_argument("--output_dir", metavar="DIR", required=True, help="a new folder; it appears complete or not at all")
    parser.add_argument(
        "--weights",
        choices=("float32", "float16", "int8"),
        help="how exactly weights are written, as far as the target has it (default: float16 for html, float32 for others)",
    )
    parser.add_argument(
        "--distill",
        type=number(float),
        metavar="MINUTES",
        help="first train a plain model, which every target takes, for so many minutes on what this one predicts; then one "
        "without a teacher for as long, to compare",
    )
    parser.add_argument("--student", choices=("llama", "gpt2"), help="with --distill, what the plain model is (default: llama)")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder of an earlier export")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Export."""
    path, as_json = flags.pop("model_path"), flags.pop("json", False)
    from letterwise.api import load
    from letterwise.progress import progress_for_terminal
    from letterwise.training.interruption import Interrupted

    model = load(path, device="cpu")
    try:
        exported = model.export(flags.pop("to"), flags.pop("output_dir"), **flags, progress=progress_for_terminal())
    except Interrupted as interrupted:
        to_stderr("letterwise: stopped while the student was trained: nothing was written.")
        return 128 + interrupted.signal_number
    if as_json:
        json_to_stdout({"output_dir": exported.output_dir, "files": exported.files})
    else:
        for name, size in exported.files.items():
            line_to_stdout(terminal_safe(f"{exported.output_dir}/{name}  {size:,} bytes"))
    return 0
