"""Docs: what is made from the code is as the code is now."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import make_flags

from benchmarks import table


def test_the_page_of_flags_is_up_to_date() -> None:
    assert make_flags.FLAGS.read_text() == make_flags.flags_page(), "run `make docs`"


def test_the_keywords_that_an_editor_knows_are_those_that_are_declared() -> None:
    assert make_flags.OPTIONS.read_text() == make_flags.options_module(), "run `make docs`"


def test_the_readmes_figures_are_those_of_the_committed_results() -> None:
    page = table.README.read_text()
    assert table.updated(page, table.read(table.RESULTS)) == page, "run `make docs`"


def test_a_table_has_means_over_seeds_counting_beside_them_and_ensembles_named() -> None:
    about = dict(benchmark="quality", text="poems")
    lines = [
        dict(about, contender="xz", val_nats=1.75),
        dict(about, contender="xz", val_nats=1.75),
        dict(about, contender="fast", minutes=3.0, val_nats=1.40, counting_bits=2.0),
        dict(about, contender="fast", minutes=3.0, val_nats=1.42, counting_bits=2.0),
        dict(about, contender="classic", minutes=1.0, val_nats=2.0),
        dict(about, contender="fast", minutes=9.0, val_nats=1.3, members=2),
        dict(about, text="names", contender="fast", minutes=9.0, val_nats=1.1, members=3),
        dict(about, contender="fast", minutes=30.0, val_nats=1.2, members=3),
        dict(benchmark="decode", contender="fast"),
    ]
    assert table.table(lines).splitlines()[2:] == [
        "|  | xz -9e | 1.750 |  |",
        "|  | counting alone | 1.386 |  |",
        "| 1 | `classic` | 2.000 |  |",
        "| 3 | `fast` | 1.410 (2 seeds) |  |",
        "| 9 | `fast`, 2 to 3 models | 1.300 | 1.100 |",
        "| 30 | `fast`, 3 models | 1.200 |  |",
    ]
