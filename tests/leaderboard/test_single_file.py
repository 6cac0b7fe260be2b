"""The whole site as one file: nothing beside it is asked for, links turn pages, examples and downloads are inside."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from boards import HOSTILE, Made, board
from chromium import MARKS, chromium, watched

from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.single import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def single(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    path = build(board(), made.runs, folder / "site", [made.tasks], single=True)
    assert path.name == NAME
    return path.rename(folder / NAME)  # away from the site: it stands alone


def test_pages_turn_and_examples_open(browser: Browser, made: Made, single: Path) -> None:
    with watched(browser, single) as page:
        page.goto(single.as_uri())
        assert page.locator(".page:visible").count() == 1
        assert page.locator("table.board:visible").count() == 3
        page.get_by_role("link", name="baseline:tfidf").first.click()
        page.locator(f".browser[data-run='{made.tfidf}'] .example").first.wait_for()
        assert page.locator(".page:visible").get_attribute("data-page") == f"run/{made.tfidf}.html"
        page.locator(".example:visible summary").first.click()
        page.locator(".example .body pre").first.wait_for()
        page.go_back()
        page.wait_for_function("document.querySelector('.page:not([hidden])').dataset.page === 'index.html'")
        page.goto(f"{single.as_uri()}#p0")
        page.get_by_role("link", name="Two models").first.click()
        page.wait_for_function("document.querySelector('.page:not([hidden])').dataset.page === 'compare.html'")
        page.locator(".page:visible [data-cell=neither]").first.click()
        page.locator(".items .example:visible").first.wait_for()


def test_state_keeps_its_page(browser: Browser, single: Path) -> None:
    with watched(browser, single) as page:
        page.goto(single.as_uri())
        page.locator("[id$='triage-v2'] th[data-key=accuracy] button").first.click()
        url = page.url
    with watched(browser, single) as page:
        page.goto(url)
        assert page.locator(".page:visible").get_attribute("data-page") == "index.html"
        assert page.locator("[id$='triage-v2'] th[data-key=accuracy]").first.get_attribute("aria-sort") == "descending"


def test_it_is_whole_without_script_and_hostile_texts_stay_texts(browser: Browser, made: Made, single: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(single.as_uri())
    names = {str(path.relative_to(made.site)) for path in made.site.rglob("*.html")}
    assert {one.get_attribute("data-page") for one in page.locator(".page:visible").all()} == names
    context.close()
    html = single.read_text(encoding="utf-8")
    assert HOSTILE[0] not in html
    with watched(browser, single) as page:
        page.goto(single.as_uri())
        assert page.evaluate("window.hacked") is None
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len(ids) == len(set(ids))
        missing = page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
            ".filter(name => !document.getElementById(decodeURIComponent(name)))"
        )
        assert missing == []


def test_predictions_can_be_had(made: Made) -> None:
    path = made.site / "downloads" / "predictions" / f"{made.wide}.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
    assert len(rows) == 620
    assert rows[3] | {"label": "no", "gold": "yes", "id": "w3"} == rows[3]
    assert not (made.site / "downloads" / "predictions" / f"{made.secret}.jsonl.gz").exists()
