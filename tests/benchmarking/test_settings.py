from pathlib import Path

import pytest

from clinical_symile.api.verification import verify_folder
from clinical_symile.benchmarking.settings import choose_setting, copy_run
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import setting_tasks, task_digest
from clinical_symile.errors import DataError
from clinical_symile.tracking.run import Run

METRIC = "tuning/mean_reciprocal_rank"


class Training:
    """Stand in for a training: write the history that a temperature is given here."""

    def __init__(self, values: dict[float, tuple[float, ...]]):
        self.values = values
        self.trained: list[str] = []

    def __call__(self, task: Pretraining, run: Run) -> None:
        if run.is_finished:
            return
        self.trained.append(str(run.path.parent.name))
        values = self.values[task.objective.arguments["temperature"]]
        run.write_history([{"epoch": n, METRIC: value} for n, value in enumerate(values, start=1)])
        about = {"task": task.name, "task_digest": task_digest(task)}
        run.write_metadata({**about, "finished": "2026-03-01T10:05:00+00:00", "seed": 0})


@pytest.fixture
def settings(catalog: Catalog) -> tuple[Pretraining, ...]:
    return setting_tasks(catalog, "pretraining/clip", ["epochs=2"])


def test_the_setting_with_the_best_epoch_on_tuning_is_kept(
    settings: tuple[Pretraining, ...], tmp_path: Path
) -> None:
    training = Training({0.07: (0.2, 0.3), 0.03: (0.5, 0.1), 0.15: (0.1, 0.4)})
    task, rows = choose_setting(settings, out=tmp_path, run_name="clip-0", seed=0, train=training)
    assert task is settings[1]
    assert [(row.setting, row.value, row.epoch, row.is_best) for row in rows] == [
        (1, 0.3, 2, False),
        (2, 0.5, 1, True),
        (3, 0.4, 2, False),
    ]
    assert [row.changes for row in rows] == [
        {},
        {"objective.temperature": 0.03},
        {"objective.temperature": 0.15},
    ]
    assert [one["epoch"] for one in Run(tmp_path / "runs" / "clip-0").history] == [1, 2]
    assert Run(tmp_path / "runs" / "clip-0").history[0][METRIC] == 0.5
    assert verify_folder(tmp_path / "runs" / "clip-0").is_intact


def test_of_equal_settings_the_first_is_kept(
    settings: tuple[Pretraining, ...], tmp_path: Path
) -> None:
    training = Training({0.07: (0.1, 0.2), 0.03: (0.4, 0.1), 0.15: (0.4, 0.4)})
    task, rows = choose_setting(settings, out=tmp_path, run_name="clip-0", seed=0, train=training)
    assert task is settings[1]
    assert [row.epoch for row in rows] == [2, 1, 1], "the first epoch that is as good"


def test_a_second_time_nothing_is_trained_and_the_kept_run_stays(
    settings: tuple[Pretraining, ...], tmp_path: Path
) -> None:
    training = Training({0.07: (0.2, 0.3), 0.03: (0.5, 0.1), 0.15: (0.1, 0.4)})
    first = choose_setting(settings, out=tmp_path, run_name="clip-0", seed=0, train=training)
    run = Run(tmp_path / "runs" / "clip-0")
    before = (run.path / "run.toml").stat().st_mtime_ns
    second = choose_setting(settings, out=tmp_path, run_name="clip-0", seed=0, train=training)
    assert first == second
    assert training.trained == ["1", "2", "3"]
    assert (run.path / "run.toml").stat().st_mtime_ns == before


def test_a_copy_that_stopped_before_its_record_is_made_again(
    settings: tuple[Pretraining, ...], tmp_path: Path
) -> None:
    source, target = Run(tmp_path / "one" / "clip-0"), Run(tmp_path / "two" / "clip-0")
    Training({0.07: (0.2, 0.3)})(settings[0], source)
    target.write_history([{"epoch": 1, METRIC: 0.9}])  # what another attempt left
    copy_run(source, target)
    assert target.history == source.history
    assert target.metadata == source.metadata


def test_a_run_that_was_trained_without_tuning_is_refused_before_anything_is_trained(
    settings: tuple[Pretraining, ...], tmp_path: Path
) -> None:
    run = Run(tmp_path / "runs" / "clip-0")
    run.write_metadata(
        {
            "task": "x",
            "task_digest": task_digest(settings[0]),
            "finished": "2026-03-01T10:05:00+00:00",
        }
    )
    training = Training({0.07: (0.2, 0.3), 0.03: (0.5, 0.1), 0.15: (0.1, 0.4)})
    with pytest.raises(DataError, match="without the choice of a setting"):
        choose_setting(settings, out=tmp_path, run_name="clip-0", seed=0, train=training)
    assert training.trained == []


def test_a_setting_without_a_value_is_never_kept(
    settings: tuple[Pretraining, ...], tmp_path: Path
) -> None:
    nan = float("nan")
    training = Training({0.07: (nan, nan), 0.03: (nan, 0.1), 0.15: (0.05, nan)})
    task, rows = choose_setting(settings, out=tmp_path, run_name="clip-0", seed=0, train=training)
    assert task is settings[1]
    assert [(row.epoch, row.is_best) for row in rows] == [(0, False), (2, True), (1, False)]
