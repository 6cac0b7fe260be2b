"""Pages of many models on many examples: how long the build takes, how large pages are, how fast they answer.

    python benchmarks/site_size.py --json docs/performance/site_size.json
    python benchmarks/site_size.py --models 3 --items 2000 --profile

Twelve models of 50,000 examples each, inputs of 60 to 150 words (see generated_board.py for what of them is real). The
site is built in a process of its own and opened from disk in Chromium without a network. The targets on two cores are
90 s and 3 GiB for the build, 2 MB and 1 s until index.html answers, 100 ms from a filter's click until its rows are
painted, and never 5,000 nodes in a page.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generated_board import write_board
from record import figure, record

from r2d_bench.leaderboard.board import Board
from r2d_bench.leaderboard.build import build

if TYPE_CHECKING:
    from playwright.sync_api import Page

BUILD_S, BUILD_GIB, INDEX_MB, READY_S, FILTER_MS, NODES = 90.0, 3.0, 2.0, 1.0, 100.0, 5_000
OPENED = 30  # examples that are opened before nodes are counted
TURNS = 3  # clicks on each button
# From the click until the frame after the one in which the rows stand.
CLICKED = """button => new Promise(done => {
  const start = performance.now();
  button.click();
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})"""


def timed_build(runs: Path, tasks: Path, site: Path, *, profile: bool) -> dict[str, float]:
    """Build the site in this process; it must have done nothing before."""
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    start = time.perf_counter()
    build(Board(name="large", title="A large board"), runs, site, [tasks])
    seconds = time.perf_counter() - start
    profiler.disable()
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return {"build_s": round(seconds, 1), "build_cpu_s": round(cpu, 1), "build_gib": round(peak / 2**20, 2)}


def sizes(site: Path) -> dict[str, float]:
    """Return bytes of the page that is opened first, of the largest index of items and of a run, and of everything."""
    indexes = {path: path.stat().st_size for path in (site / "data").rglob("index.js")}
    everything = [path.stat().st_size for path in site.rglob("*") if path.is_file()]
    return {
        "index_html_bytes": (site / "index.html").stat().st_size,
        "largest_run_html_bytes": max(path.stat().st_size for path in (site / "run").iterdir()),
        "items_index_bytes": max(size for path, size in indexes.items() if path.parent.name == "items"),
        "run_index_bytes": max(size for path, size in indexes.items() if path.parent.name != "items"),
        "files": len(everything),
        "site_mb": round(sum(everything) / 1e6, 1),
    }


def in_browser(site: Path) -> dict[str, Any]:
    """Open the pages from disk, without a network, and use them."""
    from playwright.sync_api import sync_playwright

    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable if Path(executable).exists() else None, args=["--no-sandbox"]
        )
        page = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
        found = _index(page, site / "index.html") | _examples(page, max((site / "run").iterdir()))
        chromium.close()
    return found


def _index(page: Page, path: Path) -> dict[str, Any]:
    ready = []
    for _ in range(TURNS):
        page.goto(path.as_uri())
        # Deferred scripts have run by then: the tables sort and filter.
        ready.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
    buttons = page.locator("table.board thead button.sort").element_handles()
    sorts = [button.evaluate(CLICKED) for button in buttons[:10] for _ in range(TURNS)]
    return {
        "index_ready_ms": _rounded(statistics.median(ready)),
        "sort_ms": _spread(sorts) if sorts else None,
        "index_nodes": _nodes(page),
    }


def _examples(page: Page, path: Path) -> dict[str, Any]:
    from playwright.sync_api import expect

    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector(".example")
    shown = time.perf_counter() - start
    buttons = page.locator(".filters button").element_handles()
    filters = [button.evaluate(CLICKED) for _ in range(TURNS) for button in buttons]
    search = page.locator("input[data-pick=find]")
    typed = search.evaluate("""field => new Promise(done => {
      const start = performance.now();
      field.value = "9";
      field.dispatchEvent(new Event("input"));
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
    })""")
    page.locator(".example summary").first.wait_for()
    for summary in page.locator(".example summary").element_handles()[:OPENED]:
        summary.evaluate("summary => { summary.parentNode.open = true; }")
    expect(page.locator(".example .loading")).to_have_count(0)
    return {
        "examples_shown_ms": _rounded(1000 * shown),
        "filter_ms": _spread(filters),
        "search_ms": _rounded(typed),
        "run_nodes": _nodes(page),
        "memory_mb": _rounded(page.evaluate("performance.memory ? performance.memory.usedJSHeapSize / 1e6 : 0")),
    }


def _nodes(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('*').length"))


def _spread(values: list[float]) -> dict[str, float]:
    return {name: _rounded(of(values)) for name, of in (("median", statistics.median), ("least", min), ("most", max))}


def _rounded(value: float) -> float:
    return round(value, 1)


def figures(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the measured figures beside their targets."""
    what = f"{found['models']} models × {found['items']:,} examples"
    spread = {name: (found[name]["least"], found[name]["most"]) for name in ("filter_ms", "sort_ms") if found[name]}
    rows = [
        figure(f"build, {what}", found["build_s"], "s", target=f"below {BUILD_S:.0f} s"),
        figure("build, processor", found["build_cpu_s"], "s"),
        figure("build, peak memory", found["build_gib"], "GiB", target=f"below {BUILD_GIB:.0f} GiB"),
        figure("index.html", round(found["index_html_bytes"] / 1e6, 3), "MB", target=f"below {INDEX_MB:.0f} MB"),
        figure("index of the items", round(found["items_index_bytes"] / 1e6, 2), "MB"),
        figure("index of a run", round(found["run_index_bytes"] / 1e6, 2), "MB"),
        figure("the whole site", found["site_mb"], "MB"),
        figure(
            "index.html until it answers", round(found["index_ready_ms"] / 1e3, 3), "s", target=f"below {READY_S:.0f} s"
        ),
        figure("a run's first examples on the screen", found["examples_shown_ms"], "ms"),
        figure(
            "a filter of the examples",
            found["filter_ms"]["median"],
            "ms",
            spread=spread["filter_ms"],
            of="clicks",
            target=f"below {FILTER_MS:.0f} ms",
        ),
        figure("a search by id", found["search_ms"], "ms", target=f"below {FILTER_MS:.0f} ms"),
        figure("nodes of index.html", found["index_nodes"], target=f"below {NODES:,}"),
        figure(f"nodes of a run's page, {OPENED} examples opened", found["run_nodes"], target=f"below {NODES:,}"),
    ]
    if found["sort_ms"]:
        rows.append(
            figure("sorting the table", found["sort_ms"]["median"], "ms", spread=spread["sort_ms"], of="clicks")
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--resamples", type=int, default=200, help="of the one run that is scored")
    parser.add_argument("--folder", type=Path, help="where run folders are written, and found again the next time")
    parser.add_argument("--profile", action="store_true", help="also print where the build's time goes (and takes it)")
    parser.add_argument("--json", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        tasks, runs = folder / "tasks", folder / "runs"
        if not runs.is_dir():
            tasks, runs = write_board(folder, args.models, args.items, args.resamples)
        site = Path(scratch) / "site"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            built = fresh.submit(timed_build, runs, tasks, site, profile=args.profile).result()
        found = {"models": len(list(runs.iterdir())), "items": args.items, **built, **sizes(site), **in_browser(site)}
    rows = figures(found)
    for row in rows:
        target = f" (target {row['target']})" if "target" in row else ""
        print(f"{row['what']}: {row['value']:,} {row['unit']}{target}")
    if args.json:
        record("site_size", rows, args.json, details=found)


if __name__ == "__main__":
    main()
