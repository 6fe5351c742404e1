"""A chart puts every point where arithmetic on paper says, and draws nothing that is not known."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.training.report.chart import MARKS, MAX_DRAWN, Curve, Line, chart, short, ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(curves: list[Curve], lines: Sequence[Line] = (), **more) -> ElementTree.Element:
    return ElementTree.fromstring(chart(curves, lines, x_title="characters", y_title="nats", **more))


def places(figure: ElementTree.Element) -> list[tuple[float, float]]:
    dots = [dot for dot in figure.iter(f"{SVG}circle") if dot.get("class") != "best"]
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in dots]


def words(figure: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in figure.iter(f"{SVG}text")]


def legend(figure: ElementTree.Element) -> list[str]:
    return ["".join(entry.itertext()) for entry in figure.findall("figcaption/span")]


def test_points_stand_where_paper_says() -> None:
    """x in [0, 20] is 500 units from 80 on, y in [1, 3] is 240 units up from 274: 2 is in the middle, at 154."""
    figure = drawn([Curve("a", [0, 10, 20], [3, 2, 1.5]), Curve("b", [5], [1])])
    assert places(figure) == [(80, 34), (330, 154), (580, 214), (205, 274)]
    (line,) = figure.iter(f"{SVG}polyline")  # a curve of one point is a dot
    assert line.attrib["points"] == "80.0,34.0 330.0,154.0 580.0,214.0"
    assert words(figure) == ["1", "1.5", "2", "2.5", "3", "0", "5", "10", "15", "20", "nats", "characters"]
    assert legend(figure) == ["a", "b"]


def test_the_right_axis_is_the_left_one_divided() -> None:
    figure = drawn([Curve("a", [0, 1], [math.log(2), 2 * math.log(2)])], right=("bits", math.log(2)))
    texts = list(figure.iter(f"{SVG}text"))
    left = {text.attrib["y"]: float(text.text or "") for text in texts if text.get("x") == "72"}
    right = {text.attrib["y"]: float(text.text or "") for text in texts if text.get("x") == "588"}
    assert left.keys() == right.keys()
    assert list(right.values()) == pytest.approx([value / math.log(2) for value in left.values()], abs=0.005)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, MAX_DRAWN])
def test_nan_is_a_gap(value: float | None) -> None:
    figure = drawn([Curve("a", [0, 1, 2, 3, 4], [1, 2, value, 1, 2])])
    assert [line.attrib["points"].count(",") for line in figure.iter(f"{SVG}polyline")] == [2, 2]
    assert len(places(figure)) == 4


def test_without_points_there_is_a_sentence() -> None:
    for curves in ([], [Curve("a", [], [])], [Curve("a", [1], [None])]):
        assert "".join(drawn(curves, [Line("b", 1, "one")]).itertext()) == "nats: nothing was measured."


def test_a_near_line_is_drawn_and_a_far_one_is_named() -> None:
    figure = drawn(
        [Curve("a", [0, 1], [1, 3])], [Line("near", 2, "2 nats"), Line("far", 9, "9 nats"), Line("none", math.nan, "?")]
    )
    (line,) = [line for line in figure.iter(f"{SVG}line") if line.get("class") == "across"]
    assert (line.attrib["y1"], line.attrib["y2"]) == ("154.0", "154.0")
    assert legend(figure) == ["a", "near: 2 nats", "far: 9 nats (too far away to be drawn)"]
    assert words(figure)[:5] == ["1", "1.5", "2", "2.5", "3"]


def test_hovering_says_the_figures_and_the_best_point_has_a_ring() -> None:
    figure = drawn([Curve("<a> & b", [0, 1], [1, 3], words=["one", "<three>"], best=1)])
    titles = ["".join(dot.itertext()) for dot in figure.iter(f"{SVG}circle")]
    assert titles == ["<a> & b: one", "<a> & b: <three>", ""]
    (ring,) = [dot for dot in figure.iter(f"{SVG}circle") if dot.get("class") == "best"]
    assert (ring.attrib["cx"], ring.attrib["cy"]) == ("580.0", "34.0")


def test_a_long_curve_is_whole_and_its_marks_are_few() -> None:
    n = 10 * MARKS + 1
    figure = drawn([Curve("a", range(n), [i % 7 for i in range(n)])])
    (line,) = figure.iter(f"{SVG}polyline")
    assert line.attrib["points"].count(",") == n
    assert len(places(figure)) <= MARKS + 1


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS, st.integers(2, 8))
@settings(max_examples=100)
def test_ticks_are_round_distinct_and_around_what_is_shown(a: float, b: float, most: int) -> None:
    low, high = min(a, b), max(a, b)
    if max(abs(a), abs(b)) > MAX_DRAWN or high - low < max(1e-3 * max(abs(a), abs(b)), 1 / MAX_DRAWN):
        return
    around, step = ticks(low, high, max_steps=most, outward=True)
    assert f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")
    assert around[0] <= low + 1e-6 * step
    assert around[-1] >= high - 1e-6 * step
    assert 2 <= len(around) <= most + 1
    assert len({short(value) for value in around}) == len(around)


@given(st.lists(st.tuples(NUMBERS, st.floats()), max_size=5), st.lists(NUMBERS, max_size=3), st.booleans())
@settings(max_examples=100)
def test_whatever_the_numbers_nothing_leaves_the_drawing(points: list, lines: list[float], from_zero: bool) -> None:
    curve = Curve("a", [x for x, _ in points], [y for _, y in points])
    figure = drawn([curve], [Line("b", y, "") for y in lines], from_zero=from_zero)
    assert all(79.9 <= x <= 580.1 and 33.9 <= y <= 274.1 for x, y in places(figure))
    across = [float(line.attrib["y1"]) for line in figure.iter(f"{SVG}line") if line.get("class") == "across"]
    assert all(33.9 <= y <= 274.1 for y in across)


@pytest.mark.parametrize(
    ("value", "word"),
    [(0, "0"), (1.5, "1.5"), (20000, "20k"), (-1.5e6, "-1.5M"), (2e9, "2G"), (3e12, "3e12"), (6e-4, "6e-4"), (0.01, "0.01")],
)
def test_numbers_in_few_letters(value: float, word: str) -> None:
    assert short(value) == word
