"""Results of jobs to standard output, progress to standard error.

On a terminal progress is a bar with rate and time left; elsewhere it is plain lines, one at each tenth.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from r2d_bench.cli.judge_tables import judgments_json, show_judgments
from r2d_bench.cli.plain import say, say_json, show_table
from r2d_bench.cli.training_progress import TrainingBars, TrainingLines, bars, training_line
from r2d_bench.metrics.display import figure, heading
from r2d_bench.metrics.registry import METRICS
from r2d_bench.planning import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from r2d_bench.benchmark import Report
    from r2d_bench.estimate import RunEstimate
    from r2d_bench.judging.setup import JudgeSetup
    from r2d_bench.records import Json
    from r2d_bench.runs.selection import Selection
    from r2d_bench.runs.setup import RunSetup
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.planning import Plan

COLUMNS = ("accuracy", "macro_f1", "bertscore_f1", "bleu", "chrf", "unparsed")
Scored = tuple["RunSetup", "Path", "Mapping[str, Json]"]


def model_title(model: Mapping[str, Json]) -> str:
    """Return a model's identity in one line."""
    params = ",".join(f"{key}={value}" for key, value in sorted(model["params"].items()))
    return f"{model['kind']}:{model['name']}" + (f" ({params})" if params else "")


def show_scores(scored: Sequence[Scored], *, as_json: bool) -> None:
    """Print the scores of runs: a table per task."""
    if as_json:
        say_json([{"run": folder.name, "folder": str(folder), **scores} for _, folder, scores in scored])
        return
    for task in dict.fromkeys(setup.task for setup, _, _ in scored):
        rows = [_row(setup, scores) for setup, _, scores in scored if setup.task == task]
        head = ["model", "protocol", "label", "n", *(heading(name) for name in COLUMNS)]
        show_table(head, rows, f"{task}   [95 % intervals]")
        for note in dict.fromkeys(note for setup, _, scores in scored if setup.task == task for note in _notes(scores)):
            say(f"  – {note}")


def _row(setup: RunSetup, scores: Mapping[str, Json]) -> list[str]:
    selection = scores["selection"]
    n = f"{selection['n']} of {selection['of']} (partial)" if selection["partial"] else str(selection["n"])
    figures = [figure(name, scores["metrics"].get(name)) for name in COLUMNS]
    return [model_title(setup.model), setup.protocol.name, str(setup.label_method), n, *figures]


def _notes(scores: Mapping[str, Json]) -> list[str]:
    """Return why figures of the table are missing."""
    reasons = [
        (METRICS[name].title, scores["metrics"][name].get("reason")) for name in COLUMNS if name in scores["metrics"]
    ]
    return [f"{title}: {reason}" for title, reason in reasons if reason]


def show_report(report: Report, *, as_json: bool) -> None:
    """Print what a job did: its tables, and where the page is."""
    if as_json:
        runs = [
            {
                "run": run.folder.name,
                "folder": str(run.folder),
                "answered": run.outcome.answered,
                "failed": dict(run.outcome.failures),
                "incomplete": run.outcome.incomplete,
                "seconds": round(run.outcome.seconds, 3),
                "scores": run.scores,
            }
            for run in report.finished
        ]
        judged = [one.planned.store.folder for one in report.judged]
        judgments = judgments_json(judged) if judged else []
        say_json({"runs": runs, "judgments": judgments, "page": str(report.page) if report.page else None})
        return
    show_scores([(run.setup, run.folder, run.scores) for run in report.finished], as_json=False)
    if report.judged:
        show_judgments([one.planned.store.folder for one in report.judged], as_json=False)
    if report.page is not None:
        say(f"page: {report.page.resolve()}")


def show_estimates(estimates: Sequence[RunEstimate], *, as_json: bool) -> None:
    """Print what a job would ask and cost."""
    if as_json:
        say_json([estimate.as_json() for estimate in estimates])
        return
    rows = []
    for one in estimates:
        stages = ", ".join(f"{stage} {count}" for stage, count in one.requests.items())
        first = ", ".join(f"{stage} {steps}" for stage, steps in one.training.items()) or "–"
        cost = f"{one.cost:.2f} ({one.price_source})" if one.cost is not None else "–"
        seconds = f"{one.seconds:.0f} s" if one.seconds is not None else "–"
        rows.append(
            [one.run, first, stages, str(one.stored), str(one.input_tokens), str(one.output_tokens), cost, seconds]
        )
    head = [
        "run",
        "training steps",
        "requests",
        "stored",
        "input tokens, about",
        "output tokens, at most",
        "US$, at most",
        "time",
    ]
    show_table(head, rows, "nothing was asked (--dry-run)")


@contextmanager
def make_reporter() -> Iterator[Reporter]:
    """Give the reporter that fits standard error: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with bars() as progress:
        yield Bars(progress)


class _Pace:
    """Counts a stage and knows its rate."""

    def __init__(self, total: int, stored: int) -> None:
        self.total, self.done, self.failed = total, stored, 0
        self._stored, self._started = stored, time.monotonic()

    def advance(self, *, failed: bool) -> None:
        self.done += 1
        self.failed += failed

    def rate(self) -> float:
        """Requests a second of this sitting."""
        return (self.done - self._stored) / max(time.monotonic() - self._started, 1e-9)

    def left(self) -> float:
        """Seconds to go at that rate."""
        return (self.total - self.done) / max(self.rate(), 1e-9)


def _run_line(number: int, of: int, setup: RunSetup, selection: Selection) -> str:
    partial = f", {len(selection.ids)} of {selection.of} (partial)" if selection.partial else ""
    method = "" if setup.label_method == "free" else f", label {setup.label_method}"
    return f"[{number}/{of}] {setup.task} · {model_title(setup.model)} · {setup.protocol.name}{method}{partial}"


def _judge_line(run: str, setup: JudgeSetup, asked: int, of: int) -> str:
    part = f", {asked} of {of}" if asked < of else ""
    return f"judge {setup.rubric.spec.full_name} · {setup.identity.title} · {run}{part}"


class Lines(Reporter):
    """Plain lines for logs and pipes: one when a stage begins, then at each tenth, at most one a second."""

    def __init__(self) -> None:
        self._pace = _Pace(0, 0)
        self._name = ""
        self._told = (0, 0.0)
        self._out = sys.stderr  # as it is now: while an encoder loads beside the asking, the name means nowhere

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()

    def run_started(self, number: int, of: int, setup: RunSetup, selection: Selection) -> None:
        self._write(_run_line(number, of, setup, selection))

    def scoring(self) -> None:
        self._write("  scoring")

    def left_out(self, spec: str, why: str) -> None:
        self._write(f"left out of the panel: {spec}: {why}")

    def training(self, number: int, of: int, plan: Plan) -> Listener:
        self._write(training_line(number, of, plan))
        return TrainingLines(self._write)

    def judging(self, run: str, setup: JudgeSetup, *, asked: int, of: int) -> None:
        self._write(_judge_line(run, setup, asked, of))

    def stage(self, name: str, *, total: int, stored: int) -> None:
        self._pace, self._name, self._told = _Pace(total, stored), name, (0, time.monotonic())
        kept = f", {stored} answered before" if stored else ""
        self._write(f"  {name}: {total} requests{kept}")

    def advance(self, *, failed: bool) -> None:
        pace = self._pace
        pace.advance(failed=failed)
        tenth, told = 10 * pace.done // max(pace.total, 1), self._told
        due = tenth > told[0] and time.monotonic() - told[1] >= 1.0
        if due:
            self._told = (tenth, time.monotonic())
            lost = f", {pace.failed} failed" if pace.failed else ""
            self._write(
                f"  {self._name}: {pace.done}/{pace.total}, {pace.rate():.1f}/s, {pace.left():.0f} s left{lost}"
            )


class Bars(Reporter):
    """A bar per stage with rate and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pace = _Pace(0, 0)
        self._task: TaskID | None = None

    def run_started(self, number: int, of: int, setup: RunSetup, selection: Selection) -> None:
        self._progress.console.print(_run_line(number, of, setup, selection), markup=False, highlight=False)

    def scoring(self) -> None:
        self._progress.console.print("  scoring", markup=False)

    def left_out(self, spec: str, why: str) -> None:
        self._progress.console.print(f"left out of the panel: {spec}: {why}", markup=False, highlight=False)

    def training(self, number: int, of: int, plan: Plan) -> Listener:
        self._progress.console.print(training_line(number, of, plan), markup=False, highlight=False)
        return TrainingBars(self._progress)

    def judging(self, run: str, setup: JudgeSetup, *, asked: int, of: int) -> None:
        self._progress.console.print(_judge_line(run, setup, asked, of), markup=False, highlight=False)

    def stage(self, name: str, *, total: int, stored: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._pace = _Pace(total, stored)
        self._task = self._progress.add_task(f"  {name}", total=total, completed=stored, rate="")

    def advance(self, *, failed: bool) -> None:
        self._pace.advance(failed=failed)
        if self._task is not None:
            rate = f"{self._pace.rate():.1f}/s" + (f", {self._pace.failed} failed" if self._pace.failed else "")
            self._progress.update(self._task, completed=self._pace.done, rate=rate)
