"""A real browser for the pages: from disk, with the network blocked, and it must not complain."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium (set CHROMIUM to its path)"),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, site: Path, **settings: object) -> Iterator[Page]:
    """A page of a site that must not complain, nor ask for anything outside the site."""
    wanted = {"viewport": {"width": 1280, "height": 900}, "offline": True, "accept_downloads": True} | settings
    context = browser.new_context(**wanted)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert complaints == []
    inside = (site.resolve().as_uri(), site.as_uri(), "blob:", "data:")
    assert [url for url in requests if not url.startswith(inside)] == []
