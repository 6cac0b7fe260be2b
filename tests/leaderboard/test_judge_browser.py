"""Judges' pages in Chromium, from disk, with the network blocked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from boards import HOSTILE
from judged_boards import ROWS, JudgedBoard, make_board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SOME = 16  # examples that are opened
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium (set CHROMIUM to its path)"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> JudgedBoard:
    return make_board(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must not complain."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def address(made: JudgedBoard, name: str) -> str:
    return (made.site / name).as_uri()


def test_from_the_index_to_a_judge_and_to_what_it_said(page: Page, made: JudgedBoard) -> None:
    page.goto(address(made, "index.html"))
    page.locator("#open-v1 h2 a").click()
    assert page.locator("table.judged").count() == 2
    page.locator("#judged h3 a").first.click()
    assert page.locator("table.rubric tbody tr").count() == 6
    page.go_back()
    link = page.locator("table.judged tbody th a").first
    anchor = (link.get_attribute("href") or "").partition("#")[2]
    link.click()
    assert page.locator(f"[id='{anchor}']").is_visible()
    assert page.locator(".jury").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out(browser: Browser, made: JudgedBoard, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
    page = context.new_page()
    pages = ("index.html", "task/open-v1/index.html", f"run/{made.open[0]}.html", f"run/{made.closed}.html")
    for name in (*pages, *_judges(made)):
        page.goto(address(made, name))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    context.close()


def _judges(made: JudgedBoard) -> list[str]:
    return [f"judge/{path.name}" for path in sorted((made.site / "judge").iterdir())]


def test_verdicts_of_examples_are_shown_literally(page: Page, made: JudgedBoard) -> None:
    from playwright.sync_api import expect

    page.goto(address(made, f"run/{made.open[0]}.html"))
    page.wait_for_selector(".example")
    for summary in page.locator(".example summary").all()[:SOME]:
        summary.click()
    expect(page.locator(".verdict")).to_have_count(2 * SOME)
    texts = page.locator(".verdict pre").all_text_contents()
    assert any(text.startswith(HOSTILE[0]) for text in texts)
    assert page.locator(".verdict script").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.locator(".verdict .note", has_text="No verdict: parse").count() > 0


def test_poor_rationales_can_be_picked(page: Page, made: JudgedBoard) -> None:
    page.goto(address(made, f"run/{made.open[0]}.html"))
    page.wait_for_selector(".example")
    button = page.get_by_role("button", name="Judged poor")
    button.click()
    count = page.locator(".example").count()
    assert 0 < count < ROWS
    assert button.locator("span").inner_text() == str(count)


def test_a_private_run_shows_figures_and_no_verdicts(page: Page, made: JudgedBoard) -> None:
    page.goto(address(made, f"run/{made.closed}.html"))
    assert page.locator("table.judgment").count() == 2
    assert page.locator(".verdict, .example").count() == 0


def test_judges_pages_are_whole_without_script(browser: Browser, made: JudgedBoard) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in _judges(made):
        page.goto(address(made, name))
        assert page.locator("table.rubric tbody tr").count() > 0
        assert page.locator(".stamp").count() > 0
    context.close()
