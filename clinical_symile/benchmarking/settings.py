"""Train each setting of a pretraining task, and keep the one that is best on the tuning split."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder, write_bytes
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.benchmark_tables import TriedSetting
from clinical_symile.tracking.checksums import CHECKSUMS_FILE, is_package_file
from clinical_symile.tracking.run import Run
from clinical_symile.training.model_selection import selection_metric

_FOLDER = "settings"
_RECORD = "run.toml"


def choose_setting(
    settings: Sequence[Pretraining],
    *,
    out: Path,
    run_name: str,
    seed: int,
    train: Callable[[Pretraining, Run], object],
) -> tuple[Pretraining, list[TriedSetting]]:
    """Train a task in each of its settings with one seed, and keep the run of the best setting.

    A setting is as good as the best epoch by the task's selection metric, which is computed on the
    tuning split alone. Of equal settings, the first is kept. Each setting is trained in
    `out/settings/NUMBER/RUN`; the run of the best one is copied to `out/runs/RUN`.

    Args:
        settings: the task in each of its settings; `setting_tasks` reads them.
        out: the benchmark's folder.
        run_name: name of the task's run with this seed.
        seed: the seed.
        train: trains a task into a run's folder, or resumes there.

    Returns:
        The task in its best setting, and a row for each setting.
    """
    target = Run(path_in(out / "runs", run_name))
    refuse_another_run(target, settings, out=out)
    trained: list[Run] = []
    for number, task in enumerate(settings, start=1):
        run = run_of_setting(out, number, run_name)
        train(task, run)
        trained.append(run)
    values = [_best_epoch(task, run) for task, run in zip(settings, trained, strict=True)]
    best = max(range(len(values)), key=lambda place: (values[place][0], -place))
    copy_run(trained[best], target)
    rows = [
        TriedSetting(
            task=task.name,
            setting=place + 1,
            changes=settings[0].settings[place - 1] if place else {},
            seed=seed,
            metric=task.selection.metric,
            value=values[place][0],
            epoch=values[place][1],
            epochs=task.epochs,
            is_best=place == best,
        )
        for place, task in enumerate(settings)
    ]
    return settings[best], rows


def run_of_setting(out: Path, number: int, run_name: str) -> Run:
    """Return the run of a setting in a benchmark's folder; settings are counted from 1."""
    return Run(path_in(out / _FOLDER / str(number), run_name))


def copy_run(source: Run, target: Run) -> None:
    """Copy a finished run into a folder that has no run; one that is there stays as it is.

    Args:
        source: the run to copy.
        target: its new place. `run.toml` is written last: a copy that stopped is made again.
    """
    with lock_folder(target.path):
        if (target.path / _RECORD).is_file():
            return
        files = [path for path in source.path.rglob("*") if is_package_file(path)]
        files = [path for path in files if path.name != CHECKSUMS_FILE]
        for path in sorted(files, key=lambda path: path.name == _RECORD):
            write_bytes(target.path / path.relative_to(source.path), path.read_bytes())


def refuse_another_run(target: Run, settings: Sequence[Pretraining], *, out: Path) -> None:
    """Refuse a run that no setting was chosen for, before hours of training.

    Args:
        target: the run that will be that of the best setting.
        settings: the task in each of its settings.
        out: the benchmark's folder.

    Raises:
        DataError: the folder has a run that was trained without tuning, or in another setting.
    """
    if not (target.path / _RECORD).is_file():
        return
    earlier = target.metadata.get("task_digest")
    for number, task in enumerate(settings, start=1):
        tried = run_of_setting(out, number, target.name).path / _RECORD
        if task_digest(task) == earlier and tried.is_file():
            return
    raise DataError(
        f"{target.path}: holds a run that was trained without the choice of a setting; expected "
        "none. Give another --out, or remove this folder; its training would be repeated as one "
        "of the settings.",
        code="CS-R002",
    )


def _best_epoch(task: Pretraining, run: Run) -> tuple[float, int]:
    """Return the highest value of the selection metric, and the first epoch that reached it."""
    metric = selection_metric(task)
    known = [epoch for epoch in run.history if not math.isnan(epoch[metric])]
    if not known:
        return -math.inf, 0
    best = max(known, key=lambda epoch: (epoch[metric], -epoch["epoch"]))
    return best[metric], best["epoch"]
