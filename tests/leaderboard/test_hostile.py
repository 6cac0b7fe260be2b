"""Two hundred hostile strings in every text that a page shows: none executes, all stand there literally."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml
from boards import board, make_run, write_predictions, write_task
from chromium import MARKS, chromium, watched
from hostile import TEXTS
from judged_boards import JudgedBoard, make_board

from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.exports import defused
from r2d_bench.leaderboard.site import pages
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from r2d_bench.records import Json

pytestmark = MARKS

# Keys whose values are names of ours or of files: what links, looks up or computes, checked where it is read.
OURS = {
    "run",
    "runs",
    "page",
    "id",
    "judge",
    "judges",
    "metric",
    "primary",
    "kind",
    "row",
    "reference",
    "method",
    "label_method",
    "space",
    "direction",
    "about",
    "preset",
    "name",
    "model",
    "metrics",
    "origin",
    "mode",
    "expected",
    "verdict",
    "criterion",
    "first",
    "second",
    "best",
    "leads",
    "task",
    "ratio",
    "source",
    "adequate",
    "type",
    "level",
    "figures",
    "url",
    "finish",
    "group",
    "value",
    "labels",
    "domain_of",
    "citation_key",
    "severity",
    "asked",
    "how",
    "outcome",
    "parse",
    "last",
    "digest",
    "empty",
}
WHOLE = " ".join(text for text in TEXTS if "\n" not in text)


def poisoned(value: Json, found: list[str], key: str = "") -> Json:
    """Return the document with all hostile strings, and a number, in place of every text that is no name of ours."""
    if isinstance(value, dict):
        return {k: poisoned(v, found, k) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(v, found, key) for v in value]
    if isinstance(value, str) and value and key not in OURS:
        found.append(f"mark{len(found)}x {WHOLE} y")
        return found[-1]
    return value


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedBoard:
    return make_board(tmp_path_factory.mktemp("hostile"))


def opened(page: Page, address: str) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.wait_for_timeout(50)
    assert dialogs == []
    assert page.evaluate("window.hacked") is None
    assert (
        page.evaluate("document.querySelectorAll('iframe, object, embed, form, base, img, video, marquee').length") == 0
    )
    assert (
        page.evaluate(
            "[...document.querySelectorAll('*')].some(e => e.getAttributeNames().some(n => n.startsWith('on')))"
        )
        is False
    )
    assert page.evaluate("[...document.links].every(a => ['file:', 'data:', 'blob:'].includes(a.protocol))")


def test_texts_of_the_document_are_shown_literally(browser: Browser, judged: JudgedBoard, tmp_path: Path) -> None:
    build(board(), judged.runs, tmp_path / "site", [judged.tasks], judged.audits)
    document = json.loads((tmp_path / "site" / "downloads" / "results.json").read_text(encoding="utf-8"))
    marks: list[str] = []
    bad = poisoned(document, marks)
    assert len(marks) > 100
    seen: set[str] = set()
    with watched(browser, tmp_path / "site") as page:
        for name, html in pages(bad):
            if name.startswith("judge/") and "house" not in name:
                continue  # one card is enough: each is long
            path = tmp_path / "site" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(html.encode("utf-8", "replace"))
            opened(page, path.as_uri())
            told = page.evaluate(
                "[document.body.textContent, ...[...document.querySelectorAll('*')].flatMap("
                "e => [...e.attributes].map(a => a.value))].join('\\u0001')"
            )
            told = re.sub(r"\s+", " ", told)
            for number in set(re.findall(r"mark(\d+)x ", told)):
                mark = re.sub(r"\s+", " ", marks[int(number)])
                shortened = len(re.findall(rf"mark{number}x [^…]{{0,60}}…", told))  # names within a drawing
                assert told.count(mark) == told.count(f"mark{number}x ") - shortened, (name, number)
                seen.add(mark)
    assert len(seen) > 0.5 * len(marks)  # the others are shown nowhere


def test_texts_of_tasks_and_models_are_shown_literally(browser: Browser, tmp_path: Path) -> None:
    rows = [{"id": f"h{n}", "text": text, "gold": "yes", "why": text} for n, text in enumerate(TEXTS)]
    rows += [
        {"id": text[:60], "text": f"id {n}", "gold": "no", "why": ""}
        for n, text in enumerate(TEXTS[::10])
        if text.strip() == text
    ]
    write_task(tmp_path / "tasks" / "hostile", "public", rows)
    said = [
        {"id": row["id"], "label": row["text"] if n % 2 else "yes", "rationale": row["text"]}
        for n, row in enumerate(rows)
    ]
    write_predictions(tmp_path / "said.jsonl", said)
    run = make_run(
        load_task(str(tmp_path / "tasks" / "hostile")), f"replay:{tmp_path / 'said.jsonl'}", tmp_path / "runs"
    )
    build(board(), tmp_path / "runs", tmp_path / "site", [tmp_path / "tasks"])
    wanted = {row["text"] for row in rows}
    with watched(browser, tmp_path / "site") as page:
        opened(page, (tmp_path / "site" / "run" / f"{run}.html").as_uri())
        shown: set[str] = set()
        ids: set[str] = set()
        while True:
            page.wait_for_selector(".example")
            for example in page.locator(".example").all():
                if example.get_attribute("open") is None:
                    example.locator("summary").click()
                example.locator(".body pre").first.wait_for()
                shown |= set(example.locator("pre").all_text_contents())
                ids.add(example.locator("summary code").first.text_content() or "")
            more = page.get_by_role("button", name="Show more")
            if not more.is_visible() or more.is_disabled():
                break
            more.click()
        assert page.evaluate("window.hacked") is None
    assert wanted - shown == set()
    assert ids == {row["id"] for row in rows}


def test_downloads_hold_no_formula_and_parse(judged: JudgedBoard) -> None:
    for text in TEXTS:
        assert not str(defused(text)).startswith(("=", "+", "-", "@", "\t", "\r"))
    downloads = judged.site / "downloads"
    with (downloads / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.reader(file):
            assert not any(re.match(r"[=+@\t\r]|-(?!\d)", cell) for cell in line)
    for path in (downloads / "model-index").iterdir():
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
