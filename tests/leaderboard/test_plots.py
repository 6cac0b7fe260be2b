"""Plots: markup that is well formed and safe, places that are right, and the whole data behind each."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2d_bench.leaderboard.plots.forest import Mark, forest
from r2d_bench.leaderboard.plots.frame import Axis
from r2d_bench.leaderboard.plots.lines import Series, curves
from r2d_bench.leaderboard.plots.matrix import confusion
from r2d_bench.leaderboard.plots.scatter import Point, front, scatter
from r2d_bench.leaderboard.plots.svg import Scale, log_ticks, number, shortened, tag, ticks

NAUGHTY = "<script>alert(1)</script>\" onload='x' & {{ 7*7 }}"


def per_cent(value: float) -> str:
    return f"{value * 100:.1f}"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own markup


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter("text")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.34, 0.46, [0.3, 0.35, 0.4, 0.45, 0.5]),
        (3, 3, [3, 4]),
        (0, 0, [0, 0.2]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    if low != high:
        assert found == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_enclose_the_values(low: float, span: float) -> None:
    found = ticks(low, low + span)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert found[0] <= low + slack
    assert found[-1] >= low + span - slack
    assert 2 <= len(found) <= 12
    assert found == sorted(set(found))


def test_log_ticks_are_powers_of_ten() -> None:
    assert log_ticks(9e5, 2e8) == [1e5, 1e6, 1e7, 1e8, 1e9]
    assert log_ticks(100, 100) == [100, 1000]


def test_scale() -> None:
    assert Scale(0, 10, 100, 200).at(5) == 150
    assert Scale(0, 10, 200, 100).at(2.5) == 175
    assert Scale(1, 100, 0, 200, log=True).at(10) == 100
    assert Scale(0, 1, 0, 100).at(7) == 100  # outside: at the edge
    assert Scale(2, 2, 0, 100).at(2) == 50


@pytest.mark.parametrize(
    ("value", "written"), [(0.25, "0.25"), (1500, "1.5k"), (2.2e8, "220M"), (8e9, "8B"), (0, "0"), (-2000, "-2k")]
)
def test_short_numbers(value: float, written: str) -> None:
    assert number(value) == written


def test_text_and_attributes_are_escaped() -> None:
    made = str(tag("text", NAUGHTY, class_=NAUGHTY))
    root = parsed(made)
    assert root.text == NAUGHTY
    assert root.attrib == {"class": NAUGHTY}


@pytest.mark.parametrize("kind", ["forest", "scatter", "curves", "confusion"])
def test_names_of_models_and_labels_are_data(kind: str) -> None:
    mark = NAUGHTY[:20]
    axis = Axis(mark, [0, 1])
    plots = {
        "forest": forest(mark, mark, [Mark(mark, 0.5, 0.4, 0.6), Mark(mark, None)], per_cent),
        "scatter": scatter(mark, mark, mark, [Point(mark, 1, 0.5), Point("b", 2, 0.4)], per_cent, higher=True),
        "curves": curves(mark, axis, axis, [Series(mark, ((0, 0), (1, 1))), Series("b", ((0, 1),))]),
        "confusion": confusion([mark, "b"], [[1, 2, 0], [0, 3, 1]], ordinal=True),
    }
    plot = plots[kind]
    assert plot is not None
    assert "<script" not in plot.svg
    parsed(str(plot.svg))
    assert all(len(row) == len(plot.columns) for row in plot.rows)


def test_forest_places_values_and_tells_all_in_its_table() -> None:
    marks = [Mark("a", 0.2, 0.1, 0.3, single=(0.15, 0.25)), Mark("b", 0.4), Mark("c", None)]
    plot = forest("Accuracy", "Accuracy, %", marks, per_cent)
    assert plot is not None
    circles = [float(c.attrib["cx"]) for c in parsed(str(plot.svg)).iter("circle")]
    spans = [e for e in parsed(str(plot.svg)).iter("line") if e.attrib["class"] == "span"]
    assert len(circles) == 2
    assert circles[0] == pytest.approx((float(spans[0].attrib["x1"]) + float(spans[0].attrib["x2"])) / 2, abs=0.1)
    assert circles[1] > circles[0]
    assert plot.rows == (("a", "20.0", "[10.0, 30.0]", "15.0, 25.0"), ("b", "40.0", "", ""), ("c", "–", "", ""))
    assert "no value" in texts(str(plot.svg))


def test_forest_without_values_is_no_plot() -> None:
    assert forest("Accuracy", "%", [Mark("a", None)], per_cent) is None


def test_front_is_what_no_other_beats() -> None:
    points = [Point("a", 1, 0.2), Point("b", 2, 0.5), Point("c", 3, 0.5), Point("d", 4, 0.4), Point("e", 5, 0.6)]
    assert [p.name for p in front(points)] == ["a", "b", "e"]
    assert [p.name for p in front(points, higher=False)] == ["a"]
    assert [p.name for p in front([Point("x", 1, 0.1), Point("y", 1, 0.3)])] == ["y"]


def test_scatter_numbers_its_points_by_the_table() -> None:
    points = [Point("large", 1e9, 0.6, 0.5, 0.7), Point("small", 1e6, 0.3)]
    plot = scatter("F1", "Parameters", "F1, %", points, per_cent, higher=True)
    assert plot is not None
    assert plot.rows[0] == ("1", "small", "1M", "30.0", "", "yes")
    assert plot.rows[1] == ("2", "large", "1B", "60.0", "[50.0, 70.0]", "yes")
    assert scatter("F1", "x", "y", points[:1], per_cent, higher=True) is None


def test_curves_name_their_series_where_there_are_several() -> None:
    axes = Axis("Ratio", [1, 10], log=True), Axis("Cost", [0, 4])
    one = curves("Cost", *axes, [Series("a", ((1, 1), (10, 2)))])
    two = curves("Cost", *axes, [Series("a", ((1, 1), (10, 2))), Series("b", ((1, 2), (10, 4)))], diagonal=True)
    assert one is not None
    assert two is not None
    assert one.rows == (("1", "1"), ("10", "2"))
    assert two.rows[2:] == (("b", "1", "2"), ("b", "10", "4"))
    assert {"a", "b"} <= set(texts(str(two.svg)))
    assert "ideal" in two.svg
    assert curves("Cost", *axes, [Series("a", ())]) is None


def test_confusion_marks_under_and_over_in_words() -> None:
    plot = confusion(["NOW", "LATER"], [[3, 1, 0], [2, 2, 4]], ordinal=True)
    said = texts(str(plot.svg))
    assert "25 % under" in said
    assert "25 % over" in said
    assert "50 %" in said  # no valid label is neither
    assert plot.rows == (("NOW", "3", "1", "0", "4"), ("LATER", "2", "2", "4", "8"))
    assert not any(
        "under" in word for word in texts(str(confusion(["a", "b"], [[1, 1, 0], [0, 1, 0]], ordinal=False).svg))
    )


def test_long_names_are_cut_with_a_mark() -> None:
    assert shortened("abcdefgh", 5) == "abcd…"
    assert shortened("abc", 5) == "abc"
