"""A team's own ratings: a CSV or JSONL file with the columns example_id, rater, criterion, score."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.tasks.sources import read_rows

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from r2d_bench.records import Json
    from r2d_bench.tasks.sources import Row

COLUMNS = ("example_id", "rater", "criterion", "score")


@dataclass(frozen=True, slots=True)
class Rating:
    """What one rater said of one rationale in one criterion."""

    example_id: str
    rater: str
    criterion: str
    score: float


def read_ratings(path: Path, criteria: Collection[str], low: float, high: float) -> list[Rating]:
    """Return the ratings of a file.

    Args:
        path: the file; its ending tells the format.
        criteria: those that the rubric has.
        low: the lower end of its scale.
        high: the upper end.

    Raises:
        UserError: a missing column, an unknown criterion, a score that is no number of the scale, or a rating that
            stands twice; with file and line.
    """
    ratings: list[Rating] = []
    seen: set[tuple[str, str, str]] = set()
    for row in read_rows(path):
        rating = _rating(row, low, high)
        if rating.criterion not in criteria:
            raise UserError(
                f"{row.where}: unknown criterion '{rating.criterion}'{did_you_mean(rating.criterion, criteria)}"
            )
        key = (rating.example_id, rating.rater, rating.criterion)
        if key in seen:
            raise UserError(
                f"{row.where}: {rating.rater}'s {rating.criterion} of {rating.example_id} stands twice; keep one"
            )
        seen.add(key)
        ratings.append(rating)
    return ratings


def _rating(row: Row, low: float, high: float) -> Rating:
    for column in COLUMNS:
        if column not in row.values:
            raise UserError(f"{row.where}: the column '{column}' is missing{did_you_mean(column, row.values)}")
    texts = {column: "" if row.values[column] is None else str(row.values[column]).strip() for column in COLUMNS}
    for column in COLUMNS[:3]:
        if not texts[column]:
            raise UserError(f"{row.where}: {column} is empty")
    score = _number(row.values["score"])
    if score is None or not low <= score <= high:
        raise UserError(f"{row.where}: score '{texts['score']}' should be a number from {low:g} to {high:g}")
    return Rating(texts["example_id"], texts["rater"], texts["criterion"], score)


def _number(value: Json) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None
