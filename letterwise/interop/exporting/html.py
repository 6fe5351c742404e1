"""HTML: one page that runs the model in a browser, offline, from a double click. Nothing is installed, nothing leaves the page.

ModelFile ──rounded──packed──described──assembled──▶ index.html
"""

from pathlib import Path

from letterwise.checkpoint import ModelFile
from letterwise.errors import UserError
from letterwise.interop.exporting.page.assemble import assembled
from letterwise.interop.exporting.page.describe import counts_arrays, description, facts, price
from letterwise.interop.exporting.page.pack import packed
from letterwise.interop.exporting.page.rounding import Weights, cost_nats, rounded
from letterwise.progress import Note

NAME = "index.html"
MAX_PAGE = 400 * 10**6  # bytes: a browser holds no longer text


def write(file: ModelFile, folder: Path, *, weights: Weights = "float16", note: Note) -> None:
    """Write the page into `folder`. `note` is told its size and what rounding the weights costs.

    Raises `UserError` when it would be larger than browsers open.
    """
    arrays = rounded(file.weights, weights)
    parts = packed({**arrays, **counts_arrays(file.counts)})
    if len(parts.numbers) > MAX_PAGE:
        raise UserError(
            f"the page would have {len(parts.numbers) / 1e6:,.0f} MB, and browsers open none above {MAX_PAGE / 1e6:,.0f} MB: "
            "train a smaller model with --size, or export to another target."
        )
    if weights != "float32":
        note("measuring what rounding the weights costs …")
    cost = None if weights == "float32" else cost_nats(file, arrays, note)
    page = description(file) | {"arrays": parts.arrays, "facts": facts(file, arrays, cost)}
    content = assembled(page, parts.numbers).encode()
    (folder / NAME).write_bytes(content)
    note(f"{NAME} has {len(content) / 1e6:.2f} MB. Its weights are {price(file, arrays, cost)}.")
