"""What judges said, on the pages: whole, marked, and without a word of what is private."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from boards import HIDDEN_INPUT, HIDDEN_OUTPUT, board, text_of
from judged_boards import EXPLAINED, OWN_QUESTION, PRIVATE_HOST, ROWS, JudgedBoard, make_board
from test_site import Cells, files

from r2d_bench.cli.main import main
from r2d_bench.judging.meaning import without_private_host
from r2d_bench.judging.store import find_judgments
from r2d_bench.judging.verdict import Verdict
from r2d_bench.leaderboard.build import build
from r2d_bench.leaderboard.judge_pages import meanings
from r2d_bench.leaderboard.judged import UNCALIBRATED, judged_tables, where
from r2d_bench.leaderboard.parts import Figure
from r2d_bench.leaderboard.privacy import _without_small
from r2d_bench.leaderboard.results import collect
from r2d_bench.leaderboard.suppression import WITHHELD
from r2d_bench.models.base import Identity
from r2d_bench.tasks.privacy import public_host

if TYPE_CHECKING:
    from pathlib import Path

    from r2d_bench.leaderboard.document import Results, Table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> JudgedBoard:
    return make_board(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="module")
def results(made: JudgedBoard) -> Results:
    return collect(board(), made.runs, [made.tasks], made.audits)


def table_of(results: Results, task: str) -> Table:
    return next(table for table in results.tables if table.task == task)


def page(made: JudgedBoard, name: str) -> str:
    return (made.site / name).read_text(encoding="utf-8")


def test_results_hold_what_the_folders_hold(made: JudgedBoard, results: Results) -> None:
    table = table_of(results, "open@1")
    assert [len(row.judgments) for row in table.rows] == [2, 2]
    for row in table.rows:
        stores = {store.setup().digest[:8]: store for store in find_judgments(made.runs / row.run)}
        for judgment in row.judgments:
            scores = stores[judgment.judge[-8:]].scores()
            assert scores is not None
            assert {n: f.model_dump(include={"value", "low", "high", "n"}) for n, f in judgment.metrics.items()} == {
                name: {key: figure.get(key) for key in ("value", "low", "high", "n")}
                for name, figure in scores["metrics"].items()
            }
            assert judgment.scored + sum(judgment.counts.unscored.values()) == judgment.asked == ROWS
        assert len(row.juries) == 1
        assert set(row.juries[0].judges) == {judgment.judge for judgment in row.judgments}
    assert json.loads(page(made, "downloads/results.json")) == results.as_json()


def test_every_number_of_the_tables_stands_in_results(made: JudgedBoard, results: Results) -> None:
    index = Cells(made.site / "index.html").data
    for table in results.tables:
        shown = Cells(made.site / "task" / table.id / "index.html").data
        for judged in table.judged:
            rows = {row.run: row for row in table.rows}
            for run in judged.runs:
                metrics = next(one for one in rows[run].judgments if one.judge == judged.judge).metrics
                assert str(metrics["judge_mean"].value) in index
                for name in ("judge_mean", "critical_fail_rate", "judge_coverage"):
                    assert str(metrics[name].value) in shown or (metrics[name].reason == WITHHELD and not table.texts)
    row = table_of(results, "open@1").rows[0]
    on_page = Cells(made.site / "run" / f"{row.run}.html").data
    for judgment in row.judgments:
        for figure in (*judgment.metrics.values(), *judgment.calibrated.values()):
            assert figure.value is None or str(figure.value) in on_page
    for figure in row.juries[0].alpha.values():
        assert str(figure.value) in on_page
    known = {str(f.value) for j in row.judgments for f in (*j.metrics.values(), *j.calibrated.values())}
    known |= {str(f.value) for j in row.juries for f in (*j.metrics.values(), *j.alpha.values())}
    known |= {str(f.value) for j in row.juries for pair in j.kappa for f in pair.criteria.values()}
    section = page(made, f"run/{row.run}.html").partition('<section id="judged">')[2].partition("</section>")[0]
    told = re.findall(r'<data value="([^"/]+)">', section)
    assert told
    assert set(told) <= known


def test_a_judge_without_an_audit_is_uncalibrated_on_every_page(made: JudgedBoard, results: Results) -> None:
    bare = [card for card in results.judges if card.audit is None]
    assert bare
    words = "Uncalibrated: no audit of this judge has been run."
    for card in bare:
        assert card.status == UNCALIBRATED
        assert words in Cells(made.site / "judge" / f"{card.id}.html").text
    for table in results.tables:
        assert Cells(made.site / "task" / table.id / "index.html").text.count(words) >= 1
        assert "uncalibrated" in Cells(made.site / "index.html").text
        for row in table.rows:
            theirs = [one.judge for one in row.judgments if one.judge in {card.id for card in bare}]
            text = Cells(made.site / "run" / f"{row.run}.html").text
            assert text.count(words) == len(theirs)
    assert all(not judged.best for table in results.tables for judged in table.judged)


def test_an_audited_judge_shows_its_audit(made: JudgedBoard, results: Results) -> None:
    (card,) = [card for card in results.judges if card.audit is not None]
    audit = card.audit
    assert audit is not None
    assert audit.sentence.startswith("Agrees with physicians at kappa")
    text = Cells(made.site / "judge" / f"{card.id}.html").text
    assert audit.sentence in text
    assert "People among themselves" in text
    for probe in audit.probes:
        assert probe.expected in text
        assert probe.verdict in text
    ceiling = audit.human[0].figures["ceiling"]
    assert ceiling.value is not None
    assert str(ceiling.value) in Cells(made.site / "judge" / f"{card.id}.html").data
    assert audit.calibration.reason is None
    row = table_of(results, "open@1").rows[0]
    (judgment,) = [one for one in row.judgments if one.judge == card.id]
    assert set(judgment.calibrated) == {"score.label_support"}
    run_page = Cells(made.site / "run" / f"{row.run}.html").text
    assert audit.sentence in run_page
    assert "Calibrated" in run_page


def test_an_audit_of_another_judge_does_not_count(made: JudgedBoard, tmp_path: Path) -> None:
    shutil.copytree(made.audits, tmp_path / "audits")
    (path,) = (tmp_path / "audits").glob("*/audit.json")
    audit = json.loads(path.read_text())
    audit["setup"]["digest"] = audit["setup"]["digest"][:8] + "00000000"
    path.write_text(json.dumps(audit))
    found = collect(board(), made.runs, [made.tasks], tmp_path / "audits")
    assert [card.audit for card in found.judges] == [None] * len(found.judges)


def test_the_card_holds_the_whole_rubric(made: JudgedBoard, results: Results) -> None:
    for card in results.judges:
        if card.rubric.name != "clinical_rationale":
            continue
        text = Cells(made.site / "judge" / f"{card.id}.html").text
        for criterion in card.rubric.criteria:
            assert criterion["question"] in text
            assert all(level in text for level in criterion["anchors"].values())
        for flag in card.rubric.flags:
            assert flag["question"] in text
        assert card.rubric.prompt is not None
        assert card.rubric.prompt.strip() in text
        assert card.rubric.digest in text


def test_a_private_server_is_nowhere_named(made: JudgedBoard, results: Results) -> None:
    (card,) = [card for card in results.judges if card.remote]
    assert card.where == "a private server"
    assert "qwen-judge" in card.title
    for name, content in files(made.site).items():
        assert PRIVATE_HOST not in name
        assert PRIVATE_HOST.encode() not in content, name
        assert PRIVATE_HOST.replace(".", "-").encode() not in content, name
        assert b"secret-path" not in content, name


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        (None, "in this process"),
        ("this machine", "this machine"),
        ("https://api.openai.com/v1", "api.openai.com"),
        ("https://10.1.2.3:8000/v1", "a private server"),
        ("http://192.168.0.7/v1", "a private server"),
        ("http://gpu-box:8000/v1", "a private server"),
        ("http://judge.hospital.local/v1", "a private server"),
        ("https://llm.corp/v1", "a private server"),
        ("http://[fd00::1]:8000/v1", "a private server"),
        ("https://8.8.8.8/v1", "8.8.8.8"),
    ],
)
def test_where_texts_go(endpoint: str | None, shown: str) -> None:
    assert where(endpoint) == shown


def test_names_lose_private_hosts_alone() -> None:
    assert without_private_host(Identity("api", "m@127.0.0.1")).name == "m"
    assert without_private_host(Identity("api", "m@api.example.com")).name == "m@api.example.com"
    assert without_private_host(Identity("hf", "org/model@rev")).name == "org/model"
    assert public_host("gpu.internal") is None


def test_same_family_is_flagged(made: JudgedBoard, results: Results) -> None:
    rows = {row.model.name: row for row in table_of(results, "open@1").rows}
    (card,) = [card for card in results.judges if card.remote]
    kin, other = (next(one for one in rows[name].judgments if one.judge == card.id) for name in ("qwen-7b", "other"))
    assert (kin.same_family, other.same_family) == (True, None)
    assert "same family as the judge (qwen)" in page(made, "index.html")
    assert "same family as the judge (qwen)" in page(made, f"run/{rows['qwen-7b'].run}.html")


def test_coverage_below_98_percent_is_said(made: JudgedBoard, results: Results) -> None:
    row = table_of(results, "open@1").rows[0]
    for judgment in row.judgments:
        assert judgment.care is not None
        assert judgment.care in Cells(made.site / "run" / f"{row.run}.html").text
    assert "coverage below 98 %" in page(made, "index.html")


# What is private


def test_no_word_of_a_private_task_or_of_its_judges_is_published(made: JudgedBoard) -> None:
    hidden = [*HIDDEN_INPUT.split(), *HIDDEN_OUTPUT.split()]
    everything = {name: text_of(made.site / name) for name in files(made.site)}
    for name, text in everything.items():
        assert not [word for word in hidden if len(word) > 3 and word in text], name
        assert "mrn-" not in text, name
        assert not [word for word in OWN_QUESTION.split() if len(word) > 8 and word in text], name
    # The same judge explained itself on the public task, and there its words stand.
    holding = {name for name, text in everything.items() if EXPLAINED.split()[1] in text}
    assert holding
    assert all(name.startswith(tuple(f"data/open-v1/{run}" for run in made.open)) for name in holding)


def test_private_judgments_are_aggregates(results: Results) -> None:
    (row,) = table_of(results, "closed@1").rows
    assert len(row.judgments) == 2
    for judgment in row.judgments:
        assert judgment.counts is None
        assert judgment.joint.counts is None
        assert judgment.selection.digest is None
        assert judgment.metrics["judge_mean"].value is not None
        assert judgment.metrics["judge_mean"].warnings == ()
    cards = {card.id: card for card in results.judges}
    own = [cards[one.judge] for one in row.judgments if cards[one.judge].rubric.name == "house_rubric"]
    assert [(card.rubric.prompt, card.rubric.system, card.rubric.title) for card in own] == [(None, None, "")]
    assert own[0].rubric.criteria[0]["anchors"] == {}


def test_small_cells_of_judges_are_withheld() -> None:
    def share(hits: int, n: int) -> Figure:
        return Figure(value=hits / n, low=0.0, high=1.0, n=n)

    cells = {"right_for_right": 15, "right_wrong_reason": 12, "wrong_convincing": 3, "wrong_wrong": 10}
    figures: dict[str, Figure] = {
        "judge_mean": Figure(value=3.1, n=40, warnings=("only 3 clusters: the interval is rough",)),
        "critical_fail_rate": share(4, 40),
        "flag.few": share(4, 40),
        "flag.most": share(36, 40),
        "flag.none": share(0, 40),
        "flag.some": share(20, 40),
        "score.rare": Figure(value=2.0, n=9),
        **{name: share(hits, 40) for name, hits in cells.items()},
    }
    kept = _without_small(figures)
    withheld = {name for name, figure in kept.items() if figure.reason == WITHHELD}
    assert withheld == {"critical_fail_rate", "flag.few", "flag.most", "score.rare", *cells}
    assert kept["judge_mean"].warnings == ("only 3 clusters",)
    assert all(kept[name].n == 0 for name in withheld)
    wide = {name: share(10, 40) for name in cells}
    assert _without_small(wide) == wide


# The rest


def test_the_same_folders_give_the_same_bytes(made: JudgedBoard, tmp_path: Path) -> None:
    build(board(), made.runs, tmp_path / "again", [made.tasks], made.audits)
    assert files(tmp_path / "again") == files(made.site)


def test_examples_carry_verdicts_of_public_tasks(made: JudgedBoard, results: Results) -> None:
    row = next(row for row in table_of(results, "open@1").rows if row.model.name == "qwen-7b")
    index, shard = (page(made, f"data/open-v1/{row.run}/{name}.js") for name in ("index", "000"))
    columns: dict[str, Any] = json.loads(index.partition(", ")[2].removesuffix(");\n"))
    examples: list[dict[str, Any]] = json.loads(shard.partition(", ")[2].removesuffix(");\n"))
    assert len(examples) == ROWS
    for example in examples:
        assert len(example["judged"]) == 2
        for judge in example["judged"]:
            assert (judge["unscored"] is None) == bool(judge["scores"])
    assert row.examples is not None
    assert row.examples.poor == columns["poor"].count("1") > 0
    lowest = [
        min((m for m in means if m is not None), default=9)
        for means in zip(*(judge["means"] for judge in columns["judges"]), strict=True)
    ]
    assert columns["poor"] == "".join("1" if mean <= 2 else "0" for mean in lowest)
    lines = made.runs / row.run / "judgments"
    for store in find_judgments(lines.parent):
        first = next(v for v in store.verdicts() if v.unscored is None and v.repeat == 1)
        assert isinstance(first, Verdict)
        said = examples[int(first.example_id[1:])]["judged"]
        assert first.explanation in {judge["explanation"] for judge in said}
    assert "</script><script>" not in shard


def test_a_judging_without_figures_is_named_and_hinders_nothing(made: JudgedBoard, tmp_path: Path) -> None:
    shutil.copytree(made.runs, tmp_path / "runs")
    store = find_judgments(tmp_path / "runs" / made.open[0])[0]
    (store.folder / "scores.json").unlink()
    found = collect(board(), tmp_path / "runs", [made.tasks], made.audits)
    row = next(row for row in table_of(found, "open@1").rows if row.run == made.open[0])
    assert (len(row.judgments), row.juries) == (1, ())
    (skipped,) = found.skipped
    assert skipped.run == made.open[0]
    assert skipped.reason.startswith("a judging is left out: it has no figures of this version")
    assert str(tmp_path) not in skipped.reason


def test_best_is_marked_where_the_audit_supports_comparing(results: Results) -> None:
    (card,) = [card for card in results.judges if card.audit is not None]
    assert card.audit is not None
    rows = [
        row.model_copy(update={"judgments": tuple(one.model_copy(update={"whole": True}) for one in row.judgments)})
        for row in table_of(results, "open@1").rows
    ]
    cards = {one.id: one for one in results.judges}
    usable = card.model_copy(update={"audit": card.audit.model_copy(update={"usable": True})})
    (table,) = [one for one in judged_tables(rows, cards | {card.id: usable}) if one.judge == card.id]
    values = {row.run: next(o for o in row.judgments if o.judge == card.id).metrics for row in rows}
    assert table.best["judge_mean"] == (max(values, key=lambda run: values[run]["judge_mean"].value or 0),)
    assert table.runs[0] == table.best["judge_mean"][0]
    lowest = min(figures["critical_fail_rate"].value or 0 for figures in values.values())
    assert all(values[run]["critical_fail_rate"].value == lowest for run in table.best["critical_fail_rate"])
    partly = [row.model_copy(update={"complete": False}) for row in rows]
    (table,) = [one for one in judged_tables(partly, cards | {card.id: usable}) if one.judge == card.id]
    assert table.best == {}


def test_meaning_of_a_card_is_that_of_its_metrics(results: Results) -> None:
    card = results.as_json()["judges"][0]
    found = meanings(card)
    assert found["critical_fail_rate"].direction == "lower"
    assert replace(found["judge_mean"], title="x").decimals == 2


def test_the_verb_takes_audits(made: JudgedBoard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--runs", str(made.runs), "--out", str(tmp_path / "site"), "--task-dir", str(made.tasks)]
    assert main(["leaderboard", "build", *folders, "--audits", str(made.audits)]) == 0
    assert "page: " in capsys.readouterr().out
    judges = json.loads((tmp_path / "site" / "downloads" / "results.json").read_text())["judges"]
    assert sum(card["audit"] is not None for card in judges) == 1


def test_csv_holds_figures_of_judges(made: JudgedBoard, results: Results) -> None:
    lines = page(made, "downloads/leaderboard.csv").splitlines()
    assert lines[0].endswith(",judge")
    for card in results.judges:
        assert [line for line in lines if line.endswith(f",{card.id}") and ",judge_mean," in line]
