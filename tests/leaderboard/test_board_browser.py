"""Tables of runs in Chromium: sort, search, filter, choose columns, download, and the address that keeps it."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from chromium import MARKS, chromium, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boards import Made
    from playwright.sync_api import Browser, Locator, Page

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    with watched(browser, made.site) as found:
        found.goto((made.site / "index.html").as_uri())
        yield found


def table(page: Page) -> Locator:
    return page.locator("#triage-v2 table.board")


def runs(page: Page) -> list[str]:
    rows = table(page).locator("tbody tr:visible")
    return [row.get_attribute("data-run") or "" for row in rows.all()]


def values(page: Page, key: str) -> list[float | None]:
    """The column's values as they stand, top to bottom."""
    place = table(page).evaluate("(t, key) => [...t.tHead.rows[0].cells].findIndex(c => c.dataset.key === key)", key)
    cells = [row.locator("th, td").nth(place) for row in table(page).locator("tbody tr").all()]
    texts = [cell.get_attribute("data-v") for cell in cells]
    return [None if text is None else float(text) for text in texts]


def head(page: Page, key: str) -> Locator:
    return table(page).locator(f"th[data-key='{key}']")


def test_a_heading_sorts_and_missing_values_stand_last(page: Page) -> None:
    usual = runs(page)
    head(page, "bleu").get_by_role("button").click()
    found = values(page, "bleu")
    known = [value for value in found if value is not None]
    assert known == sorted(known, reverse=True)
    assert len(known) < len(found)
    assert found[len(known) :] == [None] * (len(found) - len(known))
    assert head(page, "bleu").get_attribute("aria-sort") == "descending"
    assert table(page).locator("th[aria-sort]").count() == 1
    head(page, "bleu").get_by_role("button").click()
    assert [value for value in values(page, "bleu") if value is not None] == sorted(known)
    assert values(page, "bleu")[-1] is None
    head(page, "unparsed").get_by_role("button").click()
    assert head(page, "unparsed").get_attribute("aria-sort") == "ascending"  # lower is better
    page.evaluate("location.hash = ''")
    page.wait_for_function("document.querySelector('#triage-v2 th[data-key=macro_f1]').hasAttribute('aria-sort')")
    assert runs(page) == usual


def test_search_and_filters_hide_rows_and_say_so(page: Page, made: Made) -> None:
    section = page.locator("#triage-v2")
    section.get_by_label("Search").fill("MOCK")
    assert set(runs(page)) == {made.mock, made.partial}
    assert section.locator(".status").inner_text() == f"2 of {section.locator('tr[data-run]').count()} rows."
    section.get_by_label("Whole split only").check()
    assert runs(page) == [made.mock]
    section.get_by_label("Search").fill("")
    assert set(runs(page)) == {made.mock, made.tfidf, made.majority}


def test_columns_can_be_chosen(page: Page) -> None:
    assert not head(page, "date").is_visible()
    page.locator("#triage-v2 .picker summary").click()
    page.locator("#triage-v2 [data-column=date]").check()
    page.locator("#triage-v2 [data-column=bleu]").uncheck()
    assert head(page, "date").is_visible()
    assert not head(page, "bleu").is_visible()
    assert page.locator("#wide-v1 th[data-key=bleu]").is_visible()  # the other table keeps its own
    page.locator("#triage-v2").get_by_role("button", name="As the board has them").click()
    assert head(page, "bleu").is_visible()
    assert page.evaluate("location.hash") == ""


def test_the_page_of_a_task_has_every_figure(page: Page, made: Made) -> None:
    page.goto((made.site / "task" / "triage-v2" / "index.html").as_uri())
    board = page.locator("#results table.board")
    assert not board.locator("th[data-key=mcc]").is_visible()
    page.locator("#results .picker summary").click()
    page.locator("#results").get_by_role("button", name="All", exact=True).click()
    assert board.locator("th[data-key=mcc]").is_visible()
    assert board.locator("thead th.off").count() == 0


def test_the_address_keeps_the_view(page: Page, browser: Browser, made: Made) -> None:
    head(page, "accuracy").get_by_role("button").click()
    page.locator("#triage-v2").get_by_label("Search").fill("baseline")
    page.locator("#triage-v2 .picker summary").click()
    page.locator("#triage-v2 [data-column=chrf]").uncheck()
    url, seen = page.url, runs(page)
    with watched(browser, made.site) as other:
        other.goto(url)
        assert runs(other) == seen == [made.tfidf, made.majority]
        assert head(other, "accuracy").get_attribute("aria-sort") == "descending"
        assert not head(other, "chrf").is_visible()
        assert other.locator("#triage-v2").get_by_label("Search").input_value() == "baseline"


def test_downloads_hold_the_view_and_no_formula(page: Page, made: Made) -> None:
    section = page.locator("#triage-v2")
    section.get_by_label("Search").fill("baseline")
    with page.expect_download() as waiting:
        section.get_by_role("button", name="This view as JSON").click()
    records = json.loads(waiting.value.path().read_text(encoding="utf-8"))
    assert [record["run"] for record in records] == [made.tfidf, made.majority]
    document = json.loads((made.site / "downloads" / "results.json").read_text(encoding="utf-8"))
    rows = {row["run"]: row for one in document["tables"] for row in one["rows"]}
    for record in records:
        figure = rows[record["run"]]["metrics"]["macro_f1"]
        told = (record["macro_f1"], record["macro_f1.low"], record["macro_f1.high"], record["macro_f1.n"])
        assert told == (figure["value"], figure["low"], figure["high"], figure["n"])
        assert record["bertscore_f1"] is None
    with page.expect_download() as waiting:
        page.locator("#wide-v1").get_by_role("button", name="This view as CSV").click()
    with waiting.value.path().open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["model"] == "replay:=cmd"
    assert line["macro_f1"] == str(rows[made.wide]["metrics"]["macro_f1"]["value"])


def test_tables_work_by_keyboard(page: Page) -> None:
    head(page, "accuracy").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head(page, "accuracy").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert head(page, "accuracy").get_attribute("aria-sort") == "ascending"
    page.locator("#triage-v2 .picker summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#triage-v2 [data-column=date]").is_visible()


def test_everything_is_there_without_script(browser: Browser, made: Made) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((made.site / "task" / "triage-v2" / "index.html").as_uri())
    board = page.locator("#results table.board")
    assert board.locator("th[data-key=mcc]").is_visible()  # columns that a script puts away
    assert not page.locator("#results .tools").is_visible()
    page.goto((made.site / "compare.html").as_uri())
    assert page.locator("#triage-v2 table.pairs tbody tr").count() == 3
    context.close()
