"""Putting a finished site where others can see it: a folder, a branch of a git repository, a static Space.

Only a folder that `leaderboard build` made is ever published; what it holds of private tasks was decided when it was
built. The target is replaced whole, so that a page that has gone does not linger.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from r2d_bench.errors import MissingDependencyError, UserError
from r2d_bench.leaderboard.build import MARKER, check_out

SPACE_CARD = """---
title: {title}
sdk: static
app_file: index.html
pinned: false
---

Results of r2d-bench. For benchmarking only, not for clinical use.
"""


def to_folder(site: Path, target: Path) -> Path:
    """Copy the site into a folder, in the place of an older one.

    Raises:
        UserError: `site` is none of ours, or the target is something else than a site.
    """
    check_site(site)
    check_out(target)
    if target.resolve() == site.resolve():
        raise UserError(f"{target}: is the site itself; give another folder")
    fresh = target.with_name(f".{target.name}.new.{secrets.token_hex(4)}")
    try:
        shutil.copytree(site, fresh)
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def to_branch(site: Path, remote: str, branch: str = "gh-pages", *, message: str = "Leaderboard") -> str:
    """Commit the site to a branch of a repository and push it; the branch holds the site and nothing else.

    Nothing of the working tree that the command runs in is touched: the commit is made in a folder of its own.

    Args:
        site: the folder of the site.
        remote: URL or path of the repository.
        branch: the branch; made if it is not there.
        message: of the commit.

    Returns:
        The commit's id.

    Raises:
        UserError: `site` is none of ours, git is absent, or it refuses (the message is git's own).
    """
    check_site(site)
    if shutil.which("git") is None:
        raise UserError("publishing to a branch needs git, which is not installed")
    with tempfile.TemporaryDirectory(prefix="r2d-bench-") as name:
        work = Path(name) / "site"
        work.mkdir()
        _git(work, "init", "--quiet", "--initial-branch", branch)
        _git(work, "remote", "add", "origin", _absolute(remote))
        if _git(work, "ls-remote", "--heads", "origin", branch):
            _git(work, "fetch", "--quiet", "--depth", "1", "origin", branch)
            _git(work, "reset", "--quiet", "--soft", "FETCH_HEAD")
        shutil.copytree(site, work, dirs_exist_ok=True)
        (work / ".nojekyll").touch()  # GitHub would leave out names that begin with an underscore
        _git(work, "add", "--all")
        if _git(work, "status", "--porcelain"):
            _git(work, *_author(work), "commit", "--quiet", "--message", message)
        _git(work, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return _git(work, "rev-parse", "HEAD")


def to_space(site: Path, repo: str, title: str) -> str:
    """Upload the site as a static Space of the Hugging Face hub, which is made if it is not there.

    The token is the hub library's own (`hf auth login`, or its environment variable).

    Args:
        site: the folder of the site.
        repo: `owner/name` of the Space.
        title: its title.

    Returns:
        The Space's address.

    Raises:
        MissingDependencyError: `huggingface_hub` is absent.
        UserError: `site` is none of ours, or the hub refuses.
    """
    check_site(site)
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 - optional
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415
    except ImportError:
        raise MissingDependencyError("publishing to a Space", "hub") from None
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="space", space_sdk="static", exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="r2d-bench-") as name:
            staged = Path(name) / "site"
            shutil.copytree(site, staged)
            (staged / "README.md").write_text(SPACE_CARD.format(title=_yaml_text(title)), encoding="utf-8")
            api.upload_folder(
                repo_id=repo,
                repo_type="space",
                folder_path=staged,
                delete_patterns="*",
                commit_message="Leaderboard",
            )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(f"space {repo}: {_first_line(error)}") from None
    return f"https://huggingface.co/spaces/{repo}"


def check_site(site: Path) -> None:
    """Refuse a folder that `leaderboard build` did not make.

    Raises:
        UserError: it is none of ours.
    """
    if not (site / MARKER).is_file() or not (site / "index.html").is_file():
        raise UserError(f"{site}: not a leaderboard; build it first (r2d-bench leaderboard build --out {site})")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"git {words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout.strip()


def _author(folder: Path) -> tuple[str, ...]:
    """Return options that name an author where git knows none (a bare CI machine)."""
    known = subprocess.run(["git", "config", "user.email"], cwd=folder, capture_output=True, check=False)  # noqa: S607
    return () if known.returncode == 0 else ("-c", "user.name=r2d-bench", "-c", "user.email=r2d-bench@localhost")


def _absolute(remote: str) -> str:
    """Return a remote that is a folder as an absolute path: the commit is made elsewhere."""
    return str(Path(remote).resolve()) if Path(remote).exists() else remote


def _yaml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
