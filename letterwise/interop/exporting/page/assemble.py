"""Assemble: one HTML file from its parts. It asks the network for nothing, and may not.

page.html, with the names of its parts in braces ──▶ style · script · worker · page (JSON) · numbers (base64) in their places

What comes from a model is in two places only, neither of which a browser runs: JSON in which no `<` and nothing but ASCII is
left, and base64. A Content-Security-Policy allows one style and one script, by their hashes, a thread made by the page itself,
and WebAssembly; no connection, no image, no font, no frame.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENGINE = ("simd", "memory", "bricks", "counts", "contexts", "transformer", "windows", "sampler", "unpack")  # as they are read
VIEW = ("alphabet", "coloured", "details", "page")
PART = re.compile(r"\{\{(\w+)\}\}")


def assembled(page: dict[str, Any], numbers: str) -> str:
    """The file. `page` is what the page knows of its model, `numbers` its weights and counts."""
    style, script = (HERE / "view/page.css").read_text("utf-8"), joined("view", VIEW)
    parts = {
        "policy": policy(script, style),
        "style": style,
        "script": script,
        "worker": worker(),
        "page": inert(page),
        "numbers": numbers,
    }
    template = (HERE / "view/page.html").read_text("utf-8")
    return PART.sub(lambda part: parts[part[1]], template)  # in one go: what is put in is not looked at again


def worker() -> str:
    """The script that runs the model."""
    return joined("engine", (*ENGINE, "worker"))


def engine() -> str:
    """The same without the messages: functions alone."""
    return joined("engine", ENGINE)


def joined(folder: str, names: tuple[str, ...]) -> str:
    """Several files as one script."""
    return "\n".join((HERE / folder / f"{name}.js").read_text("utf-8") for name in names)


def policy(script: str, style: str) -> str:
    """The Content-Security-Policy of a page with this script and this style."""
    return (
        f"default-src 'none'; script-src {_hash(script)} 'wasm-unsafe-eval'; style-src {_hash(style)}; "
        "worker-src blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def inert(value: Any) -> str:
    r"""JSON that nothing in it can end: ASCII alone, and `<`, `>` and `&` as `\u003c` and so on."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return re.sub("[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", text)
