"""Training as a whole: its stages in order, then the published checkpoint.

    trained = train(plan_training(task, base, recipe, seed=1), listener)

Killed at any moment and called again, a training goes on where it stopped and ends in the same weights (CPU, fp32).
Resume state lies in folders `…--state` beside the checkpoint: one of the training, one of its first stage, which
trainings that differ in the second stage alone share.

Under torchrun every process makes the same calls; only the first one writes and tells its listener.
"""

from __future__ import annotations

import gc
import os
import shutil
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from r2d_bench.errors import UserError
from r2d_bench.training.lineage import read_lineage
from r2d_bench.training.publish import publish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from r2d_bench.training.lineage import Lineage
    from r2d_bench.training.listener import Listener
    from r2d_bench.training.planning import Plan
    from r2d_bench.training.recipe import StageName
    from r2d_bench.training.stage import StageResult

LOGS = "--logs"


@dataclass(frozen=True)
class Trained:
    """A checkpoint, and whether it was found rather than trained."""

    folder: Path
    lineage: Lineage
    found: bool


def is_first() -> bool:
    """Tell whether this process writes and reports."""
    return int(os.environ.get("RANK", "0")) == 0


def train(plan: Plan, listener: Listener, *, needed: Collection[Path] = (), keep_state: bool = False) -> Trained:
    """Train and publish, or find what was published before.

    Args:
        plan: what.
        listener: is told how far it has come.
        needed: first stages' states (`Plan.parent`) that later trainings start from; they are kept.
        keep_state: keep all resume state.

    Raises:
        UserError: as `run_stage`; or another process trains the same.
    """
    if plan.found:
        _tidy(plan, needed, keep_state=keep_state)
        return Trained(plan.folder, read_lineage(plan.folder) or plan.lineage, found=True)
    with _locked(plan.state):
        results = _run_stages(plan, listener)
        lineage = plan.lineage.model_copy(update={"parameters": _parameters(results)})
        if is_first():
            _keep_logs(plan)
            publish(plan.folder, plan.task, plan.recipe, lineage, results)
    _wait_for_all()
    _tidy(plan, needed, keep_state=keep_state)
    results.clear()
    gc.collect()  # trainers refer to themselves; the next one needs their memory
    return Trained(plan.folder, lineage, found=False)


def _tidy(plan: Plan, needed: Collection[Path], *, keep_state: bool) -> None:
    """Remove the resume state; a first stage that another process works on stays."""
    if keep_state or not is_first():
        return
    shutil.rmtree(plan.state, ignore_errors=True)
    if plan.parent is not None and plan.parent not in needed and plan.parent.exists():
        with suppress(UserError), _locked(plan.parent):
            shutil.rmtree(plan.parent, ignore_errors=True)


def _run_stages(plan: Plan, listener: Listener) -> dict[StageName, StageResult]:
    from r2d_bench.training.data import StageData  # noqa: PLC0415 - torch
    from r2d_bench.training.stage import Start, run_stage  # noqa: PLC0415

    start = Start(*plan.base.load())
    results: dict[StageName, StageResult] = {}
    for stage in plan.stages:
        data = StageData(stage.task, stage.task.training(), stage.task.validation())
        # The whole training's lock is held already; a first stage has one of its own, since others share it.
        parent = plan.parent if stage.name == "explain" else None
        with nullcontext() if parent is None else _locked(parent):
            folder = (parent or plan.state) / stage.name
            results[stage.name] = run_stage(stage.name, plan.recipe, start, data, folder, listener, plan.seed)
        start = Start(results[stage.name].model, results[stage.name].tokenizer)
    return results


def _parameters(results: Mapping[StageName, StageResult]) -> int:
    return int(list(results.values())[-1].model.num_parameters())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a state folder on the first process; the lock dies with it.

    Raises:
        UserError: another process trains in it, or it cannot be written.
    """
    if not is_first():
        yield
        return
    lock = FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: another process is training this; wait for it, or stop it") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


def _wait_for_all() -> None:
    import torch.distributed as dist  # noqa: PLC0415 - an engine

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def _keep_logs(plan: Plan) -> None:
    """Copy TensorBoard's files out of the state, which does not stay; they name this machine, so not into the model."""
    logs = plan.folder.with_name(plan.folder.name + LOGS)
    for state in filter(None, (plan.parent, plan.state)):
        for folder in state.glob("*/runs"):
            shutil.copytree(folder, logs / folder.parent.name, dirs_exist_ok=True)
