"""Publishing a site: to a folder, to a branch, and what is refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from r2d_bench.errors import UserError
from r2d_bench.leaderboard.build import MARKER
from r2d_bench.leaderboard.publish import to_branch, to_folder, to_space

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / MARKER).parent.mkdir(parents=True)
    (folder / MARKER).write_text("{}", encoding="utf-8")
    (folder / "index.html").write_text("<p>one</p>", encoding="utf-8")
    (folder / "run").mkdir()
    (folder / "run" / "a.html").write_text("a", encoding="utf-8")
    return folder


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(folder))
    return folder


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def files(remote: Path, branch: str = "gh-pages") -> set[str]:
    return set(git(remote, "ls-tree", "-r", "--name-only", branch).splitlines())


def test_a_folder_is_replaced_whole(site: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    to_folder(site, target)
    (site / "run" / "a.html").unlink()
    to_folder(site, target)
    assert not (target / "run" / "a.html").exists()
    assert (target / "index.html").read_text(encoding="utf-8") == "<p>one</p>"
    assert {path.name for path in tmp_path.iterdir()} == {"site", "published"}


def test_a_folder_that_is_no_site_is_left_alone(site: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="not a leaderboard"):
        to_folder(site, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()
    with pytest.raises(UserError, match="the site itself"):
        to_folder(site, site)


def test_a_branch_is_made_and_then_replaced(site: Path, remote: Path) -> None:
    first = to_branch(site, str(remote))
    assert files(remote) == {".nojekyll", MARKER, "index.html", "run/a.html"}
    (site / "run" / "a.html").unlink()
    second = to_branch(site, str(remote))
    assert files(remote) == {".nojekyll", MARKER, "index.html"}
    assert git(remote, "rev-list", "gh-pages").splitlines() == [second, first]


def test_the_same_site_makes_no_new_commit(site: Path, remote: Path) -> None:
    assert to_branch(site, str(remote)) == to_branch(site, str(remote))


def test_other_branches_stay(site: Path, remote: Path) -> None:
    to_branch(site, str(remote), "main")
    to_branch(site, str(remote))
    assert "index.html" in files(remote, "main")


@pytest.mark.parametrize("missing", [MARKER, "index.html"])
def test_only_a_built_site_is_published(site: Path, remote: Path, tmp_path: Path, missing: str) -> None:
    (site / missing).unlink()
    for publish in (
        lambda: to_folder(site, tmp_path / "out"),
        lambda: to_branch(site, str(remote)),
        lambda: to_space(site, "a/b", "t"),
    ):
        with pytest.raises(UserError, match="build it first"):
            publish()
    assert not (tmp_path / "out").exists()


def test_what_git_says_is_told_in_one_line(site: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="git ls-remote") as told:
        to_branch(site, str(tmp_path / "nowhere.git"))
    assert "\n" not in str(told.value)
