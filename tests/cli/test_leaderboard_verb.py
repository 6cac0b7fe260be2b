"""`leaderboard build | serve | publish`, as a user calls them."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from run_parts import Said

    Cli = Callable[..., Said]


@pytest.fixture
def site(cli: Cli) -> Path:
    assert cli("run", "baseline:majority", "-t", "small", "--task-dir", ".", "--bertscore", "none").code == 0
    return Path("site")


def test_a_site_is_published_to_a_folder_and_to_a_branch(cli: Cli, site: Path) -> None:
    said = cli("leaderboard", "publish", "--folder", "public")
    assert said.code == 0
    assert Path("public/index.html").read_bytes() == (site / "index.html").read_bytes()
    subprocess.run(["git", "init", "--quiet", "--bare", "remote.git"], check=True)
    said = cli("leaderboard", "publish", "--branch", "remote.git", "--branch-name", "pages")
    assert said.code == 0
    assert "branch pages" in said.out
    shown = subprocess.run(["git", "show", "pages:index.html"], cwd="remote.git", check=True, capture_output=True)
    assert shown.stdout == (site / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--folder", "public", "--site", "elsewhere"), "build it first"),
        (("--folder", "small"), "not a leaderboard"),
        (("--branch", "nowhere.git"), "git ls-remote"),
        ((), "one of the arguments"),
    ],
)
def test_what_cannot_be_published_is_told_in_one_line(
    cli: Cli, site: Path, options: tuple[str, ...], message: str
) -> None:
    said = cli("leaderboard", "publish", *options)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert site.is_dir()
    assert Path("small/task.yaml").is_file()


def test_a_site_is_served_on_this_machine_alone(cli: Cli, site: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        taken = cli("leaderboard", "serve", "--port", port)  # while it is held by somebody else
    assert taken.code == 2
    assert "choose another" in taken.err
    start = "from r2d_bench.cli.main import entry; entry()"
    command = [sys.executable, "-u", "-c", start, "leaderboard", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address + "index.html", timeout=10) as page:  # noqa: S310
            assert page.read() == (site / "index.html").read_bytes()
        process.kill()
