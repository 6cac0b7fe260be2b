"""The built wheel works outside the checkout, and its main verbs need no engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import r2d_bench
from r2d_bench.cli.main import main
code = main(sys.argv[1:])
engines = [name for name in ("torch", "transformers", "datasets", "bert_score") if name in sys.modules]
sys.stderr.write("TOLD " + json.dumps([code, engines, r2d_bench.__file__]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, as an installer would lay it out."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _told(installed: Path, where: Path, *arguments: str) -> tuple[str, int, list[str]]:
    """Run a verb in an empty folder; return its output, its exit code and the engines it imported."""
    env = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", SCRIPT, *arguments]
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=True)
    code, engines, file = json.loads(done.stderr.rpartition("TOLD ")[2])
    assert Path(file).is_relative_to(installed)
    return done.stdout, code, engines


def test_content_travels_in_the_wheel(installed: Path, tmp_path: Path):
    out, code, engines = _told(installed, tmp_path, "tasks", "list", "--json")
    assert (code, engines) == (0, [])
    assert {task["name"] for task in json.loads(out)} >= {"triage", "pubmedqa"}
    assert (installed / "r2d_bench/_content/judges").is_dir()
    assert (installed / "r2d_bench/_content/leaderboards/main/board.yaml").is_file()
    assert not list(installed.rglob("*.pyc"))


def test_running_scoring_and_pages_import_no_engine(installed: Path, tmp_path: Path):
    how = ["--bertscore", "none", "--json"]
    out, code, engines = _told(installed, tmp_path, "run", "baseline:tfidf", "-t", "triage", *how)
    assert (code, engines) == (0, [])
    (run,) = json.loads(out)["runs"]
    assert run["scores"]["metrics"]["macro_f1"]["value"] > 0.2
    out, code, engines = _told(installed, tmp_path, "score", str(tmp_path / run["folder"]), *how)
    assert (code, engines) == (0, [])
    assert json.loads(out)[0]["metrics"] == run["scores"]["metrics"]
    out, code, engines = _told(installed, tmp_path, "leaderboard", "build", "--out", "pages")
    assert (code, engines) == (0, [])
    assert (tmp_path / "pages" / "index.html").is_file()
