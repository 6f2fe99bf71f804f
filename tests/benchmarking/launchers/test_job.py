import json
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking.launchers.job import (
    Job,
    JobOutcome,
    failure_problems,
    read_job,
    read_outcome,
    write_outcome,
)
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task, task_digest
from clinical_symile.errors import DataError, Problem
from tests.helpers.launched import job_named


def test_every_task_of_the_catalog_passes_through_a_file_unchanged(
    catalog: Catalog, tmp_path: Path
):
    tasks = [read_task(catalog, name) for name in catalog.tasks]
    trained = tuple(task for task in tasks if isinstance(task, Pretraining))
    job = Job(
        kind="run",
        name="symile-0",
        out=tmp_path,
        store=tmp_path / "store",
        pretraining=trained,
        tasks=tuple(task for task in tasks if not isinstance(task, Pretraining)),
        seed=3,
        accelerator="cpu",
        devices=2,
        nodes=3,
        deterministic=True,
        threads=4,
        sync=True,
        baseline="prevalence",
    )
    job.write()
    read, folder = read_job(job.file)
    # Settings to try are jobs of their own.
    alone = tuple(task.model_copy(update={"settings": ()}) for task in trained)
    assert read == replace(job, pretraining=alone)
    assert [task_digest(task) for task in read.pretraining] == [task_digest(t) for t in trained]
    assert folder == Path.cwd()


def test_a_run_and_a_setting_have_their_own_places(tmp_path: Path):
    job = job_named("symile-0", tmp_path)
    assert job.run.path == tmp_path / "runs" / "symile-0"
    assert job.log.parent == tmp_path / "jobs" / "symile-0"
    setting = replace(job, kind="setting", name="settings/2/symile-0")
    assert setting.run.path == tmp_path / "settings" / "2" / "symile-0"
    assert setting.log.parent == tmp_path / "jobs" / "settings" / "2" / "symile-0"


def test_a_job_of_another_version_is_refused(tmp_path: Path):
    job = job_named("oracle", tmp_path)
    job.write()
    about = json.loads(job.file.read_text())
    job.file.write_text(json.dumps({**about, "version": "0.1"}))
    with pytest.raises(DataError, match=r"was written by version 0\.1; expected .* .CS-R032"):
        read_job(job.file)


def test_an_outcome_keeps_sentences_with_their_codes_until_the_job_is_written_again(tmp_path: Path):
    job = job_named("oracle", tmp_path)
    assert read_outcome(job) is None
    job.write()
    write_outcome(job.file, JobOutcome(problems=(Problem("too few samples.", "CS-D027"),)))
    found = read_outcome(job)
    assert found is not None
    assert not found.is_done
    (problem,) = failure_problems(job, found)
    assert problem.with_code() == "run 'oracle': too few samples. [CS-D027]"
    job.write()
    assert read_outcome(job) is None


def test_an_error_that_nobody_expected_is_named_with_its_log(tmp_path: Path):
    job = job_named("oracle", tmp_path)
    (problem,) = failure_problems(job, JobOutcome(error="RuntimeError"))
    assert "ended with an unexpected RuntimeError" in problem
    assert str(job.log) in problem
    assert problem.code == "CS-R031"
