from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from boards import HIDDEN_INPUT, HIDDEN_OUTPUT, Made, board, text_of

from r2d_bench.leaderboard import privacy
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.suppression import uncounted
from r2d_bench.runs.store import RunStore
from r2d_bench.tasks.spec import Split, TaskSpec
from r2d_bench.tasks.task import load_task

if TYPE_CHECKING:
    from pathlib import Path


def sequences(text: str, length: int = 8) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[k : k + length]) for k in range(len(words) - length + 1)}


def everything(site: Path) -> str:
    """All files as words; the names of files too."""
    texts = [text_of(path) for path in sorted(site.rglob("*")) if path.is_file()]
    names = [str(path.relative_to(site)) for path in site.rglob("*")]
    return " ".join(re.findall(r"\w+", " ".join([*texts, *names]).lower()))


def test_no_words_of_a_private_task_reach_the_site(made: Made):
    task = load_task(str(made.tasks / "secret"))
    outputs = [response.text for response in RunStore(made.runs / made.secret).responses().values()]
    texts = [text for e in task.examples() for text in (e.input, *e.references)] + outputs
    private = set().union(*map(sequences, texts))
    assert len(private) > 50  # the test looks for something
    words = everything(made.site)
    assert [sequence for sequence in private if sequence in words] == []
    assert "mrnx" not in words  # of every id
    for word in {*HIDDEN_INPUT.split(), *HIDDEN_OUTPUT.split()} - {"{n}"}:
        assert word not in words


def test_a_private_row_is_aggregates_only(made: Made):
    table = next(t for t in collect(board(), made.runs, [made.tasks]).tables if t.task == "secret@1")
    assert not table.texts
    (row,) = table.rows
    assert row.metrics["accuracy"].value == 0.5
    assert (row.confusion, row.per_class, row.statuses, row.rationale_statuses, row.examples) == (None,) * 5
    assert row.selection.digest is None
    # "no (0)" would be a cell of the confusion matrix
    assert row.metrics["macro_f1"].warnings == ("hit fewer than 10 times, the interval may be too narrow",)
    assert not (made.site / "data" / made.secret).exists()


def test_the_footer_states_the_decision(made: Made):
    page = (made.site / "index.html").read_text()
    assert "<b>secret@1</b>: Aggregates only" in page
    assert "<b>wide@1</b>: Texts are published" in page


@pytest.mark.parametrize("visibility", ["gated", "private"])
def test_the_task_as_it_is_now_decides(made: Made, tmp_path: Path, visibility: str):
    """A run folder made while the task was public holds texts; they stay in it."""
    tasks = tmp_path / "tasks"
    shutil.copytree(made.tasks / "wide", tasks / "wide")
    file = tasks / "wide" / "task.yaml"
    file.write_text(file.read_text().replace("public", visibility))
    shutil.copytree(made.runs / made.wide, tmp_path / "runs" / made.wide)
    build(board(), tmp_path / "runs", tmp_path / "site", [tasks])
    assert "hyperlink" not in everything(tmp_path / "site")  # of every fifth text
    assert not (tmp_path / "site" / "data").exists()


def test_unknown_visibility_counts_as_private(made: Made):
    public = load_task(str(made.tasks / "wide")).spec
    private = load_task(str(made.tasks / "secret")).spec
    data = {"split": "test", "data_digest": "0" * 16}

    def texts(
        spec: TaskSpec | None, namesakes: list[TaskSpec], sources: tuple[str, ...] = ("bundled",), **more: str
    ) -> bool:
        return privacy.decide(spec, namesakes, sources=sources, **(data | more)).texts

    assert texts(public, [public])
    assert not texts(None, [public])  # this version's task.yaml is not at hand
    assert not texts(public, [public, private])  # another version of it is not public
    assert not texts(public, [public], sources=("bundled", "local"))  # anybody's data, given with --data
    known = public.model_copy(update={"splits": {"test": Split(digest="0" * 16)}})
    assert texts(known, [known], sources=("local",))  # the task knows these rows
    assert not texts(known, [known], data_digest="1" * 16)


def test_prompts_of_ones_own_protocol_are_withheld(made: Made, tmp_path: Path):
    shutil.copytree(made.runs / made.secret, tmp_path / made.secret)
    path = tmp_path / made.secret / "run.json"
    manifest = json.loads(path.read_text())
    manifest["setup"]["protocol"]["stages"][0]["prompt"] = "Example: quillfeather. {{ input }}"
    path.write_text(json.dumps(manifest))
    (row,) = collect(board(), tmp_path, [made.tasks]).tables[0].rows
    assert row.protocol.stages is None
    (row,) = next(t for t in collect(board(), made.runs, [made.tasks]).tables if t.task == "secret@1").rows
    assert row.protocol.stages is not None  # `direct` is built in


def test_warnings_lose_their_counts():
    figure = Figure(value=0.5, warnings=("fewer than 10 gold items: maybe (3)", "only 4 clusters: rough"))
    assert uncounted(figure).warnings == ("fewer than 10 gold items", "only 4 clusters")
