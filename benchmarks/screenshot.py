"""Take the screenshot of README: the start page of a site, as a reader sees it, without the network.

    python benchmarks/screenshot.py site docs/images/leaderboard.png

Needs Playwright and Chromium (`CHROMIUM` is its path). The picture is made again after the pages have changed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
MOST_BYTES = 300_000
WIDTH = 1280


def take(site: Path, out: Path, height: int) -> None:
    """Write the upper `height` pixels of the start page as PNG.

    Raises:
        SystemExit: no site in the folder, or a picture that is too big for a repository.
    """
    from playwright.sync_api import sync_playwright

    page_file = site / "index.html"
    if not page_file.is_file():
        raise SystemExit(f"{site}: no site here; build one first (r2d-bench leaderboard build --out {site})")
    out.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM", CHROMIUM)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": height}, color_scheme="light")
        page.context.set_offline(True)
        page.goto(page_file.resolve().as_uri())
        page.screenshot(path=out)
        browser.close()
    if out.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{out}: {out.stat().st_size} bytes, at most {MOST_BYTES} should be; give a lower --height")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder that `leaderboard build` made")
    parser.add_argument("out", type=Path)
    parser.add_argument("--height", type=int, default=760, help="pixels")
    args = parser.parse_args()
    take(args.site, args.out, args.height)


if __name__ == "__main__":
    main()
