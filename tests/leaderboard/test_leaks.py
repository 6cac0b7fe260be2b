"""No word of a private task reaches a site, and a build that would publish some stops before anything is written."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml
from boards import board, make_run, secret_task, write_predictions, write_task
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_boards import EXPLAINED

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.leaks import guard_of, recognisable
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.sequences import Known, Located, all_runs, quotations, unescaped, words_of
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WORD = st.text("abcdefghijklmnopqrstuvwxyzäßéøжщ漢字0123456789", min_size=1, max_size=6)
BETWEEN = st.sampled_from([" ", ", ", "\n", '" ', " – ", "\t", "'", "/", " <b> ", " & ", "\\", "\u2028", "😀"])
ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json, text as text": lambda text: json.dumps(text, ensure_ascii=False),
    "html": html.escape,
    "json in html": lambda text: html.escape(json.dumps(text)),
    "html in json": lambda text: json.dumps(html.escape(text)),
    "yaml": lambda text: yaml.safe_dump({"text": text}, width=120),
    "script": lambda text: json.dumps(text, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026"),
}
QUOTED = "a quillfeather bramblewick and one ostler in vanderhoek mulberry"  # said of nobody: the test's canary


@st.composite
def written(draw: st.DrawFn, least: int, most: int) -> str:
    words = draw(st.lists(WORD, min_size=least, max_size=most))
    return "".join(draw(BETWEEN) + word for word in words)


def plain_words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def known(*texts: str) -> Known:
    return Known(quotations(texts, 4))


def find(guarded: Known, text: str) -> list[Located]:
    return guarded.find(words_of(text))


@settings(max_examples=60, deadline=None)
@given(written(8, 20), written(0, 6), written(0, 6), st.sampled_from(sorted(ESCAPES)))
def test_a_quotation_is_found_in_any_spelling(private: str, before: str, behind: str, kind: str):
    assert find(known(private), unescaped(ESCAPES[kind](f"{before} {private.upper()} {behind}"))) != [] or (
        private.upper().lower() != private.lower()  # ß has no upper case that is one letter
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(written(0, 14), max_size=5), written(0, 30))
def test_what_is_found_is_what_a_plain_search_finds(private: list[str], text: str):
    private = [one.replace("\\", " ").replace("&", " ") for one in private]

    def sought() -> Iterator[tuple[str, ...]]:
        for words in map(plain_words, private):
            if 4 <= len(words) < 8:
                yield tuple(words)
            yield from (tuple(words[k : k + 8]) for k in range(len(words) - 7))

    words = plain_words(text)
    there = {tuple(words[k : k + size]) for size in range(4, 9) for k in range(len(words) - size + 1)}
    expected = {len(one) for one in sought() if one in there}
    assert {found.length for found in find(known(*private), text)} == expected


def test_seven_words_of_a_longer_text_are_no_quotation():
    guarded = known(QUOTED)
    words = QUOTED.split()
    assert find(guarded, " ".join(words[:7]) + " x " + " ".join(words[3:])) == []
    assert [found.length for found in find(guarded, "x " + " ".join(words[1:9]))] == [8]


def test_public_runs_of_words_are_forgotten():
    guarded = known(QUOTED, "an answer that everybody gives to everything at all times")
    guarded.without(all_runs(["... an answer that everybody gives to everything at all times."], guarded.lengths))
    assert find(guarded, "an answer that everybody gives to everything at all times") == []
    assert find(guarded, QUOTED) != []


@pytest.mark.parametrize(
    ("ident", "is_one"),
    [("mrn-00012", True), ("PAT0001", True), ("0123456789", True), ("case-1", False), ("12345", False),
     ("pneumonia", False), ("2024-01-01", False)],
)  # fmt: skip
def test_ids_that_could_be_recognised(ident: str, is_one: bool):
    assert recognisable(ident) is is_one


@dataclass(frozen=True)
class Closed:
    """A private task with one run, alone in its folder."""

    runs: Path
    tasks: Path
    run: str

    def edited(self, file: str, change: Callable[[dict[str, object]], None]) -> None:
        path = self.runs / self.run / file
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))


@pytest.fixture
def closed(tmp_path: Path) -> Closed:
    runs, tasks = tmp_path / "runs", tmp_path / "tasks"
    tasks.mkdir()
    said = secret_task(tasks)
    return Closed(runs, tasks, make_run(load_task(str(tasks / "secret")), f"replay:{said}", runs))


def canary(closed: Closed) -> str:
    """Eight words in a row of an input."""
    task = load_task(str(closed.tasks / "secret"))
    return " ".join(task.examples()[3].input.split()[1:9])


def refused(closed: Closed, site: Path, **settings: object) -> str:
    """Build, and return why it failed."""
    there = sorted(site.parent.iterdir())
    with pytest.raises(UserError, match="the site would publish words of a task that is not public") as failed:
        build(board(**settings), closed.runs, site, [closed.tasks])
    assert sorted(site.parent.iterdir()) == there  # no site, and no half of one
    message = str(failed.value)
    assert "bramblewick" not in message
    return message


def test_a_clean_private_site_is_built(closed: Closed, tmp_path: Path):
    build(board(), closed.runs, tmp_path / "site", [closed.tasks])
    guard = guard_of(collect(board(), closed.runs, [closed.tasks]), closed.runs, [closed.tasks])
    with pytest.raises(UserError, match=closed.run):  # it looks for something
        guard.check("x.txt", canary(closed))
    with pytest.raises(UserError, match="the id of an example"):
        guard.check("x.txt", "see MRNX-ccccc there")
    guard.check("x.txt", "mrnx ccccc")


def test_a_site_that_stands_stays_when_the_next_one_is_refused(closed: Closed, tmp_path: Path):
    build(board(), closed.runs, tmp_path / "site", [closed.tasks])
    before = (tmp_path / "site" / "index.html").read_bytes()
    refused(closed, tmp_path / "site", description=canary(closed))
    assert (tmp_path / "site" / "index.html").read_bytes() == before


def test_a_canary_in_the_boards_description(closed: Closed, tmp_path: Path):
    message = refused(closed, tmp_path / "site", description=f"Notes as: <i>{canary(closed)}</i>")
    assert closed.run in message


def test_a_canary_in_a_reported_row(closed: Closed, tmp_path: Path):
    row = {
        "task": "secret",
        "system": "Another",
        "data": "its own",
        "source": "Nobody",
        "figures": {"accuracy": {"value": 0.5}},
    }
    refused(closed, tmp_path / "site", reported=[row | {"note": canary(closed)}])


@pytest.mark.parametrize("key", ["title", "note"])
def test_a_canary_in_a_models_card(closed: Closed, tmp_path: Path, key: str):
    def change(manifest: dict[str, object]) -> None:
        sittings: list[dict[str, object]] = manifest["sittings"]  # type: ignore[assignment]
        sittings[-1]["card"] = {key: canary(closed)}

    closed.edited("run.json", change)
    refused(closed, tmp_path / "site")


def test_a_judges_words_in_the_reason_why_a_run_is_skipped(closed: Closed, tmp_path: Path):
    """A run that is in no table: its manifest cannot be read, and the error quotes what is wrong in it."""
    explained = EXPLAINED.format(n="three")
    judging = closed.runs / closed.run / "judgments" / "someone"
    judging.mkdir(parents=True)
    line = {"example_id": "mrnx-aaaaa", "explanation": explained}
    (judging / "verdicts.jsonl").write_text(json.dumps(line) + "\n")

    def change(manifest: dict[str, object]) -> None:
        setup: dict[str, object] = manifest["setup"]  # type: ignore[assignment]
        setup["task"] = f"{explained}@1"

    closed.edited("run.json", change)
    assert "hornswoggle" in collect(board(), closed.runs, [closed.tasks]).skipped[0].reason  # it would stand there
    assert "hornswoggle" not in refused(closed, tmp_path / "site")


def test_a_canary_in_the_name_of_a_run_folder(closed: Closed, tmp_path: Path):
    (closed.runs / closed.run).rename(closed.runs / canary(closed).replace(" ", "_"))
    refused(closed, tmp_path / "site")


def test_what_a_public_run_says_itself_is_no_leak(closed: Closed, tmp_path: Path):
    """A model that says the same of both tasks; the same words in the board's own text are a leak."""
    same = "nothing in this note tells how urgent it is at all"
    ids = [example.id for example in load_task(str(closed.tasks / "secret")).examples()]
    write_predictions(tmp_path / "same.jsonl", [{"id": one, "label": "yes", "rationale": same} for one in ids])
    make_run(load_task(str(closed.tasks / "secret")), f"replay:{tmp_path / 'same.jsonl'}", closed.runs)
    rows = [{"id": f"o{n}", "text": f"case {n}", "gold": "yes", "why": "so"} for n in range(12)]
    write_task(closed.tasks / "open", "public", rows)
    said = [{"id": row["id"], "label": "yes", "rationale": same} for row in rows]
    write_predictions(tmp_path / "open.jsonl", said)
    make_run(load_task(str(closed.tasks / "open")), f"replay:{tmp_path / 'open.jsonl'}", closed.runs)
    build(board(), closed.runs, tmp_path / "site", [closed.tasks])
    assert any(same in path.read_text() for path in (tmp_path / "site" / "data").rglob("*.js"))
    refused(closed, tmp_path / "site", description=same)


def test_nothing_is_read_where_all_is_public(tmp_path: Path):
    runs = tmp_path / "open runs"
    write_task(tmp_path / "open", "public", [{"id": "o1", "text": "case", "gold": "yes", "why": "so"}])
    write_predictions(tmp_path / "open.jsonl", [{"id": "o1", "label": "yes", "rationale": "so"}])
    run = make_run(load_task(str(tmp_path / "open")), f"replay:{tmp_path / 'open.jsonl'}", runs)
    results = collect(board(), runs, [tmp_path / "open"])
    shutil.rmtree(runs / run)
    guard_of(results, runs, [tmp_path / "open"]).check("index.html", QUOTED)
