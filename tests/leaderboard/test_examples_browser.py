"""The browser of a run's examples in Chromium: filters, keys, permalinks, challenge sets, state in the address."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from boards import WIDE_ROWS, Made, Quiet, board
from chromium import MARKS, chromium, watched
from full_task import KINDS, LABELS, make_full_task, row, rows

from r2d_bench.leaderboard.build import build
from r2d_bench.models.registry import make_model, parse_spec
from r2d_bench.runs.execute import Sitting, execute
from r2d_bench.runs.scoring import ScoreOptions, Scorers, score_run
from r2d_bench.runs.selection import select
from r2d_bench.runs.setup import plan_run
from r2d_bench.runs.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run on a task with an order of labels and challenge sets; another run is in its table."""
    base = tmp_path_factory.mktemp("examples")
    more = [row(f"u{k}", LABELS[k % 3]) for k in range(144)]
    task = make_full_task(base / "small", [*rows(), *more], visibility="public")
    names = []
    for spec in ("mock:random", "mock:random,garbage=0.2,seed=3"):
        model = make_model(parse_spec(spec), task=task, seed=0)
        setup = plan_run(task, model)
        store = RunStore(base / "runs" / setup.folder)
        asked = KINDS if not names else ()
        execute(task, model, setup, Sitting(select(task.examples()), challenges=tuple(asked)), store, Quiet())
        score_run(store, task, ScoreOptions(resamples=50, paper=False), Scorers())
        names.append(store.name)
    build(board(), base / "runs", base / "site", [base / "small"])
    return base / "site" / "run" / f"{names[0]}.html"


@pytest.fixture
def page(browser: Browser, full: Path) -> Iterator[Page]:
    with watched(browser, full.parent.parent) as found:
        yield found


def opened(page: Page, path: Path, state: str = "") -> Locator:
    """Open a page, and return the rows of its examples."""
    page.goto("about:blank")  # else only the hash changes, and nothing is loaded
    page.goto(path.as_uri() + state)
    page.wait_for_selector(".example")
    return page.locator(".example")


def ids(page: Page) -> list[str]:
    return page.locator(".example summary code").all_inner_texts()


def focused(page: Page) -> str:
    """Return the id of the row that has the focus."""
    return str(page.evaluate("document.activeElement.querySelector('code')?.textContent || ''"))


def test_every_button_shows_as_many_as_it_says(page: Page, full: Path) -> None:
    from playwright.sync_api import expect

    opened(page, full)
    buttons = page.locator("[data-filter]").all()
    keys = [button.get_attribute("data-filter") for button in buttons]
    ordinary = ["all", "wrong", "right", "unparsed", "under", "over", "differ"]
    assert keys == [*ordinary, *(f"set:{name}" for name in KINDS)]
    for button in buttons:
        button.click()
        count = int(button.locator("span").inner_text())
        expect(page.locator(".status")).to_have_text("None." if count == 0 else re.compile(f" of {count}$"))
        assert page.locator(".example").count() == min(count, 100)
        assert page.locator("[data-filter][aria-pressed=true]").count() == 1
    assert sum(int(button.locator("span").inner_text()) for button in buttons[4:6]) > 0


def test_filters_let_through_what_they_name(page: Page, full: Path) -> None:
    opened(page, full)
    place = {label: number for number, label in enumerate(LABELS)}
    for key, fits in (("under", lambda a, b: place[a] < place[b]), ("over", lambda a, b: place[a] > place[b])):
        page.locator(f"[data-filter={key}]").click()
        shown = [(one.inner_text()) for one in page.locator(".example .labels").all()]
        pairs = [re.fullmatch(r"gold (\w+), label (\w+)", text) for text in shown]
        assert pairs
        assert all(pair is not None and fits(pair[1], pair[2]) for pair in pairs)


def test_labels_and_ids_narrow_a_filter(page: Page, full: Path) -> None:
    opened(page, full)
    page.locator("[data-filter=wrong]").click()
    page.locator("[data-pick=gold]").select_option("NOW")
    page.locator("[data-pick=said]").select_option("HOME")
    texts = page.locator(".example .labels").all_inner_texts()
    assert texts
    assert set(texts) == {"gold NOW, label HOME"}
    page.locator("[data-pick=find]").fill("U1")
    found = ids(page)
    assert found
    assert all("u1" in ident for ident in found)
    page.locator("[data-pick=find]").fill("nothing of the kind")
    assert page.locator(".status").inner_text() == "None."


def test_rows_of_challenge_sets_are_marked_and_shown_only_on_demand(page: Page, full: Path) -> None:
    examples = opened(page, full)
    assert page.locator(".example .stamp").count() == 0
    page.get_by_role("button", name="Challenge: pairs").click()
    assert ids(page) == ["p1", "p2"]
    assert page.locator(".example .stamp").all_inner_texts() == ["pairs", "pairs"]
    examples.first.locator("summary").click()
    assert "note of p1" in examples.first.locator("pre").first.inner_text()
    opened(page, full, "#example=s2")
    assert ids(page) == ["s1", "s2"]
    assert page.locator("[data-filter='set:same']").get_attribute("aria-pressed") == "true"


def test_a_permalink_opens_its_example_on_whatever_page(browser: Browser, made: Made) -> None:
    from playwright.sync_api import expect

    path = made.site / "run" / f"{made.wide}.html"
    with watched(browser, made.site) as page:
        opened(page, path, "#example=w437")
        expect(page.locator(".status")).to_have_text(f"401–500 of {WIDE_ROWS}")
        example = page.locator(".example[open]")
        expect(example).to_have_count(1)
        expect(example.locator(".body pre").first).to_contain_text("input 437 ")
        assert focused(page) == "w437"
        expect(example.locator("summary")).to_be_in_viewport()
        assert example.get_by_role("link", name="Permalink").get_attribute("href") == "#example=w437"
        # A filter that hides the example gives way.
        opened(page, path, "#show=unparsed&gold=no&example=w1")
        expect(page.locator(".status")).to_have_text(f"1–100 of {WIDE_ROWS}")
        assert focused(page) == "w1"
        opened(page, path, "#example=w9999")
        expect(page.locator(".status")).to_have_text("This run has no example w9999.")


def test_state_stands_in_the_address(page: Page, full: Path) -> None:
    from playwright.sync_api import expect

    opened(page, full)
    page.locator("[data-filter=wrong]").click()
    page.locator("[data-pick=gold]").select_option("TODAY")
    before, address = ids(page), page.url
    assert address.endswith("#show=wrong&gold=TODAY")
    page.locator(".example summary").nth(2).click()
    expect(page.locator(".example[open] .body")).to_be_visible()
    assert page.url.endswith(f"&example={before[2]}")
    opened(page, full, "#" + page.url.partition("#")[2])
    assert ids(page) == before
    assert focused(page) == before[2]
    page.evaluate("location.hash = 'show=right'")
    expect(page.locator(".example.right")).to_have_count(page.locator(".example").count())
    assert page.locator("[data-pick=gold]").input_value() == ""
    page.locator("[data-filter=all]").click()
    assert "#" not in page.url
    # What no button or list knows is as good as nothing.
    assert opened(page, full, "#show=constructor&gold=none&said=toString").count() == 100


def test_keys_move_open_and_close(browser: Browser, made: Made) -> None:
    from playwright.sync_api import expect

    with watched(browser, made.site) as page:
        opened(page, made.site / "run" / f"{made.wide}.html")
        assert page.locator(".keys").is_visible()
        page.locator("[data-filter=all]").focus()
        for key, ident in (("j", "w0"), ("j", "w1"), ("ArrowDown", "w2"), ("k", "w1"), ("ArrowUp", "w0"), ("k", "w0")):
            page.keyboard.press(key)
            assert focused(page) == ident
        page.keyboard.press("Enter")
        expect(page.locator(".example[open] .body")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".example[open], .body")).to_have_count(0)
        assert focused(page) == "w0"
        page.locator(".example summary").last.focus()
        page.keyboard.press("j")
        expect(page.locator(".status")).to_have_text(re.compile("^101–200"))
        assert focused(page) == "w100"
        page.keyboard.press("k")
        expect(page.locator(".status")).to_have_text(re.compile("^1–100"))
        assert focused(page) == "w99"
        field = page.locator("[data-pick=find]")
        field.focus()
        page.keyboard.press("j")
        assert field.input_value() == "j"


def test_turning_pages_moves_the_focus_to_the_first_row(browser: Browser, made: Made) -> None:
    with watched(browser, made.site) as page:
        opened(page, made.site / "run" / f"{made.wide}.html")
        page.get_by_role("button", name="Show more").click()
        assert focused(page) == "w100"
        page.get_by_role("button", name="Back").click()
        assert focused(page) == "w0"


def test_the_page_stays_small(browser: Browser, made: Made) -> None:
    from playwright.sync_api import expect

    with watched(browser, made.site) as page:
        opened(page, made.site / "run" / f"{made.wide}.html")
        assert page.locator(".body").count() == 0  # made when it is opened
        for summary in page.locator(".example summary").all()[:40]:
            summary.evaluate("summary => { summary.parentNode.open = true; }")
        expect(page.locator(".example[open]")).to_have_count(20)
        expect(page.locator(".body")).to_have_count(20)
        assert page.evaluate("document.querySelectorAll('*').length") < 5000


def test_a_partial_run_shows_its_own_rows(browser: Browser, made: Made) -> None:
    from playwright.sync_api import expect

    from r2d_bench.runs.table import read_examples

    source = read_examples(made.runs / made.partial / "examples.parquet")
    with watched(browser, made.site) as page:
        opened(page, made.site / "run" / f"{made.partial}.html")
        assert ids(page) == [one["id"] for one in source]
        for number in (0, 31, 59):
            example = page.locator(".example").nth(number)
            example.locator("summary").click()
            expect(example.locator(".body pre").first).to_have_text(source[number]["input"])


def test_a_missing_data_file_is_told(browser: Browser, made: Made, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    shutil.copytree(made.site, tmp_path / "site")
    (path,) = (tmp_path / "site" / "data").glob(f"*/{made.wide}/index.js")
    path.unlink()
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "site" / "run" / f"{made.wide}.html").as_uri())
    expect(page.locator(".status")).to_have_text("A data file of this page could not be loaded.")
    context.close()


def test_shards_can_stand_packed_in_the_page(browser: Browser, made: Made, tmp_path: Path) -> None:
    value = {"text": "Grüße </script> \u2028"}
    packed = base64.b64encode(gzip.compress(json.dumps(value).encode())).decode()
    shutil.copy(made.site / "assets" / "r2d.js", tmp_path / "r2d.js")
    (tmp_path / "one.html").write_text(
        '<!doctype html><html class="single"><title>One</title><script src="r2d.js"></script>'
        f'<script type="application/octet-stream;base64" data-shard="t/items/000">{packed}</script>'
    )
    with watched(browser, tmp_path) as page:
        page.goto((tmp_path / "one.html").as_uri())
        assert page.evaluate("new Promise(done => R2D.load('', 't/items/000', done))") == value
        assert page.evaluate("new Promise(done => R2D.load('', 't/items/001', done))") is None
