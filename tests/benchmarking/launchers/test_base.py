import importlib

import pytest

from clinical_symile.benchmarking.launchers import base
from clinical_symile.benchmarking.launchers.base import LAUNCHERS, LaunchOptions, open_launcher
from clinical_symile.cli import arguments
from clinical_symile.errors import DefinitionError


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        (LaunchOptions(jobs=2), 4),
        (LaunchOptions(jobs=3), 2),
        (LaunchOptions(jobs=16), 1),
        (LaunchOptions(jobs=2, threads=3), 3),
        (LaunchOptions(), 8),
    ],
)
def test_runs_at_once_share_the_processors_unless_threads_are_chosen(
    options: LaunchOptions, threads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(base, "available_processors", lambda: 8)
    assert options.threads_per_job == threads


def test_one_run_after_another_needs_no_process_of_its_own():
    assert LaunchOptions().is_in_process
    assert LaunchOptions(jobs=1).is_in_process
    assert not LaunchOptions(jobs=2).is_in_process
    assert not LaunchOptions(threads=1).is_in_process
    assert not LaunchOptions(launcher="slurm").is_in_process


def test_the_command_line_offers_every_launcher():
    assert tuple(LAUNCHERS) == arguments.LAUNCHER_NAMES
    for path in LAUNCHERS.values():
        module, _, name = path.partition(":")
        assert {"start", "ended", "close"} <= set(
            dir(getattr(importlib.import_module(module), name))
        )


def test_a_training_on_several_machines_is_for_slurm_alone():
    with pytest.raises(DefinitionError, match="'ray' starts a training on one machine"):
        open_launcher(LaunchOptions(launcher="ray", threads=1), nodes=2)


def test_threads_of_runs_elsewhere_are_no_guess():
    with pytest.raises(DefinitionError, match=r"number of threads of each run is missing.*F029"):
        open_launcher(LaunchOptions(launcher="slurm"))
