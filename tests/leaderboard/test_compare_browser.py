"""Two models side by side in Chromium: the pair, its counts, the items of a count, the words that differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from chromium import MARKS, chromium, watched

from r2d_bench.leaderboard.lookups import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boards import Made
    from playwright.sync_api import Browser, Page

    from r2d_bench.records import Json

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    with watched(browser, made.site) as found:
        found.goto((made.site / "compare.html").as_uri())
        yield found


@pytest.fixture(scope="module")
def table(made: Made) -> Json:
    document = json.loads((made.site / "downloads" / "results.json").read_text(encoding="utf-8"))
    return next(one for one in document["tables"] if one["id"] == "triage-v2")


def test_every_pair_stands_there_with_the_documents_numbers(page: Page, table: Json) -> None:
    rows = page.locator("#triage-v2 table.pairs tbody tr")
    assert rows.count() == len(table["duels"]) == 3
    for row, duel in zip(rows.all(), table["duels"], strict=True):
        shown = [one.get_attribute("value") for one in row.locator("data").all()]
        assert shown == [str(duel["difference"]), f"{duel['low']}/{duel['high']}"]
        labels = duel["labels"]
        counts = [int(row.locator("td.num").nth(n).inner_text()) for n in range(2, 6)]
        assert counts == [labels["both"], labels["first_only"], labels["second_only"], labels["neither"]]
        assert sum(counts) == table["ranking"]["items"]


def test_a_pair_is_chosen_and_its_items_are_listed(page: Page, made: Made, table: Json) -> None:
    box = page.locator("#triage-v2 .duel")
    box.locator("[data-side=a]").select_option(made.majority)
    box.locator("[data-side=b]").select_option(made.tfidf)
    duel = next(one for one in table["duels"] if {one["first"][0], one["second"][0]} == {made.majority, made.tfidf})
    assert box.locator(".sentence").inner_text() == duel["sentence"] + "."
    swapped = duel["first"][0] == made.tfidf
    only = duel["labels"]["second_only" if swapped else "first_only"]
    button = box.locator("[data-cell=first]")
    assert button.inner_text() == str(only)
    button.click()
    page.wait_for_selector("#triage-v2 .items .example")
    assert f"of {only}." in box.locator(".items .status").inner_text()
    names = {row["run"]: name_of(row) for row in table["rows"]}
    assert box.locator("table.joint thead").inner_text().split("\t")[-2].strip() == f"{names[made.tfidf]} right"
    url = page.url
    with_state = page.context.new_page()
    with_state.goto(url)
    with_state.wait_for_selector("#triage-v2 .items .example")
    assert with_state.locator("#triage-v2 [data-side=a]").input_value() == made.majority


def test_words_that_differ_are_marked(page: Page, made: Made) -> None:
    box = page.locator("#triage-v2 .duel")
    box.locator("[data-side=a]").select_option(made.tfidf)
    box.locator("[data-side=b]").select_option(made.mock)
    box.locator("[data-cell=neither]").click()
    box.locator(".items .example summary").first.click()
    box.locator(".items .body u").first.wait_for()
    assert box.locator(".items .body .pair pre").count() == 2
    assert page.locator("#triage-v2 .items .example").count() <= 100


def test_a_row_of_the_table_opens_its_pair_by_keyboard(page: Page, table: Json) -> None:
    last = page.locator("#triage-v2 table.pairs tbody tr").last
    last.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert last.get_attribute("aria-current") == "true"
    assert page.locator("#triage-v2 .sentence").inner_text() == table["duels"][-1]["sentence"] + "."


def test_a_private_task_has_no_counts_and_no_items(page: Page) -> None:
    section = page.locator("#secret-v1")
    assert section.get_attribute("data-texts") == "no"
    assert section.locator("[data-cell]").count() == 0
