"""The pages in Chromium, from disk, with the network blocked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from boards import HOSTILE, WIDE_ROWS, Made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium (set CHROMIUM to its path)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    """A page that must not complain, nor ask for anything outside the site."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert complaints == []
    assert requests
    assert [url for url in requests if not url.startswith(made.site.as_uri())] == []


def address(made: Made, run: str) -> str:
    return (made.site / "run" / f"{run}.html").as_uri()


def test_index_opens_from_disk(page: Page, made: Made):
    page.goto((made.site / "index.html").as_uri())
    assert page.locator("table.board").count() == 3
    assert page.locator("svg.whisker").count() == 6
    # The style sheet is allowed by the policy, and took effect.
    assert page.evaluate("getComputedStyle(document.querySelector('td.num')).textAlign") == "right"
    page.get_by_role("link", name="baseline:tfidf").click()
    page.wait_for_selector(".example")
    assert page.url == address(made, made.tfidf)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out(page: Page, made: Made, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    for url in ((made.site / "index.html").as_uri(), address(made, made.wide), address(made, made.secret)):
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_filters_and_pages_of_a_hundred(page: Page, made: Made):
    from playwright.sync_api import expect

    page.goto(address(made, made.wide))
    rows, status = page.locator(".example"), page.locator(".status")
    page.wait_for_selector(".example")
    assert rows.count() == 100
    assert status.inner_text() == f"1–100 of {WIDE_ROWS}"
    ids = page.locator(".example summary code").all_inner_texts()
    page.get_by_role("button", name="Show more").click()
    assert rows.count() == 100
    assert not set(ids) & set(page.locator(".example summary code").all_inner_texts())
    for start in range(201, WIDE_ROWS, 100):
        page.get_by_role("button", name="Show more").click()
        expect(status).to_have_text(re.compile(f"^{start}–"))
    assert rows.count() == WIDE_ROWS % 100
    assert page.get_by_role("button", name="Show more").is_disabled()
    page.get_by_role("button", name="Back").click()
    assert rows.count() == 100

    unparsed = WIDE_ROWS // 10
    page.get_by_role("button", name="No valid label").click()
    assert rows.count() == unparsed
    assert page.locator(".example.unparsed").count() == unparsed
    page.get_by_role("button", name="Wrong").click()
    expect(status).to_have_text(re.compile("^1–100 of"))
    assert page.locator(".example.right").count() == 0
    assert page.locator(".example.wrong").count() + page.locator(".example.unparsed").count() == 100
    page.get_by_role("button", name="Right").click()
    assert page.locator(".example.right").count() == 100


def test_hostile_texts_are_shown_literally(page: Page, made: Made):
    from playwright.sync_api import expect

    page.goto(address(made, made.wide))
    page.wait_for_selector(".example")
    for number, text in enumerate(HOSTILE):
        example = page.locator(".example").nth(number)
        expect(example.locator(".gist")).to_have_text(
            f"input {number} {text}".replace("\u2028", " ").replace("\u2029", " ")
        )
        example.locator("summary").click()
        expect(example.locator(".body")).to_be_visible()
        shown = example.locator("pre").all_text_contents()
        assert f"input {number} {text}" in shown
        assert f"gold {text}" in shown
        assert shown.count(f"said {number} {text}") == 2  # raw, and as the rationale
    assert page.evaluate("window.hacked") is None
    assert page.locator(".example img").count() == 0


def test_private_runs_have_no_examples(page: Page, made: Made):
    page.goto(address(made, made.secret))
    assert page.locator("#examples, .confusion").count() == 0
    assert "Aggregates only" in page.locator("main").inner_text()


def test_tables_are_complete_without_script(browser: Browser, made: Made):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address(made, made.mock))
    assert page.locator(".confusion tbody tr").count() == 6
    assert "given label:" in page.locator("main").inner_text()
    assert page.locator("noscript").inner_text().startswith("The list of examples needs JavaScript")
    assert not page.locator(".filters").is_visible()
    page.goto((made.site / "index.html").as_uri())
    assert page.locator("table.board tbody tr").count() == 6
    context.close()
