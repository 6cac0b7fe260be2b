"""Every kind of page through axe, in both themes, at the width of a phone and of a desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chromium import MARKS, chromium
from judged_boards import JudgedBoard, make_board

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boards import Made
    from playwright.sync_api import Browser

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedBoard:
    return make_board(tmp_path_factory.mktemp("accessible"))


def kinds(site: Path, runs: tuple[str, ...]) -> list[Path]:
    """One page of each kind, and those of some runs."""
    single = [site / name for name in ("index.html", "compare.html", "about.html")]
    first = [max((site / kind).rglob("*.html")) for kind in ("task", "model", "judge") if (site / kind).is_dir()]
    return [*single, *first, *(site / "run" / f"{run}.html" for run in runs)]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_axe_finds_nothing(browser: Browser, made: Made, judged: JudgedBoard, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    # axe is put into the page, which the page's own policy would refuse.
    context = browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        bypass_csp=True,
        offline=True,
    )
    page = context.new_page()
    found = []
    runs = (made.tfidf, made.wide, made.secret)
    for address in [*kinds(made.site, runs), *kinds(judged.site, (judged.open[0], judged.closed))]:
        page.goto(address.as_uri())
        page.evaluate("[...document.querySelectorAll('details')].slice(0, 30).forEach(one => { one.open = true; })")
        violations = axe.run(page).response["violations"]
        found += [
            f"{address.name}: {one['id']} {node['target']} {node['failureSummary']}"
            for one in violations
            for node in one["nodes"][:3]
        ]
    context.close()
    assert found == []
