"""What a stretch of work costs, how sessions add up, and what a run's record says of it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder
from clinical_symile.tracking.costs import (
    CostMeter,
    RunCosts,
    add_costs,
    add_epoch,
    evaluation_costs,
)
from clinical_symile.tracking.run import Run

MB = 1 << 20
BURN = "import time\nwhile time.process_time() < {seconds}: pass"


def test_the_processor_time_of_children_counts() -> None:
    meter = CostMeter()
    subprocess.run([sys.executable, "-c", BURN.format(seconds=0.4)], check=True)
    assert meter.read()["processor_s"] >= 0.35


def test_what_runs_in_a_pause_does_not_count() -> None:
    began, meter = time.perf_counter(), CostMeter()
    with meter.pause():
        subprocess.run([sys.executable, "-c", BURN.format(seconds=0.4)], check=True)
        time.sleep(0.1)
    spent, elapsed = meter.read(), time.perf_counter() - began
    assert 0 <= spent["wall_s"] <= elapsed - 0.45
    assert spent["processor_s"] < 0.35


def test_the_peak_of_memory_is_that_since_the_meter_was_made() -> None:
    first = CostMeter()
    block = bytearray(300 * MB)
    del block
    high, low = first.read(), CostMeter().read()
    assert high["peak_memory_bytes"] > 300 * MB
    if "peak_memory_of" in low:  # the system cannot let it begin anew, and the record says so
        assert low["peak_memory_bytes"] >= high["peak_memory_bytes"]
    else:
        assert low["peak_memory_bytes"] < high["peak_memory_bytes"] - 200 * MB


def test_energy_is_the_difference_of_two_readings_and_absent_where_it_cannot_be_read() -> None:
    readings = iter([100.0, 140.0, 175.0, 200.0])
    meter = CostMeter(lambda: next(readings))
    with meter.pause():  # 35 of the 100 joules
        pass
    assert meter.read()["energy_j"] == 65.0
    assert "energy_j" not in CostMeter().read()


def test_sessions_of_a_training_add_up_and_the_higher_peak_stays() -> None:
    first = {"wall_s": 10.0, "processor_s": 18.0, "peak_memory_bytes": 7, "energy_j": 100.0}
    second = {"wall_s": 2.5, "processor_s": 4.0, "peak_memory_bytes": 9, "energy_j": 20.0}
    assert add_costs({}, first) == {**first, "sessions": 1}
    assert add_costs(add_costs({}, first), second) == {
        "wall_s": 12.5,
        "processor_s": 22.0,
        "peak_memory_bytes": 9,
        "energy_j": 120.0,
        "sessions": 2,
    }


def test_energy_that_a_session_lacks_is_unknown_for_all() -> None:
    known = {"wall_s": 1.0, "energy_j": 5.0}
    lacking = {"wall_s": 1.0, "energy_missing": "no driver"}
    for pair in ((known, lacking), (lacking, known)):
        made = add_costs({**pair[0], "sessions": 1}, pair[1])
        assert made == {"wall_s": 2.0, "energy_missing": "no driver", "sessions": 2}


def test_an_epoch_has_what_it_spent_and_the_peak_so_far() -> None:
    first = {"wall_s": 2.0, "processor_s": 3.0, "peak_memory_bytes": 5, "energy_j": 40.0}
    second = {"wall_s": 5.5, "processor_s": 9.0, "peak_memory_bytes": 7}
    one = add_epoch({}, {}, first)
    assert one == {key: [value] for key, value in first.items()}
    assert add_epoch(one, first, second) == {
        "wall_s": [2.0, 3.5],
        "processor_s": [3.0, 6.0],
        "peak_memory_bytes": [5, 7],
    }


def _run(folder: Path) -> Run:
    run = Run(folder / "clip-0")
    run.write_metadata({"name": "clip-0", "seed": 0})
    return run


def test_evaluation_is_the_embedding_and_the_last_of_each_task(tmp_path: Path) -> None:
    run = _run(tmp_path)
    with lock_folder(run.path):
        for task in (None, "retrieval/a", "retrieval/b", "retrieval/a"):
            with evaluation_costs(run, task):
                time.sleep(0.02)
    record = run.metadata
    parts = [record["costs"]["embedding"], *record["costs"]["evaluation"].values()]
    assert list(record["costs"]["evaluation"]) == ["retrieval/a", "retrieval/b"]
    costs = RunCosts.from_record(record)
    assert costs.evaluation_s == sum(part["wall_s"] for part in parts) >= 0.06
    assert costs.evaluation_processor_s == sum(part["processor_s"] for part in parts)
    assert costs.evaluation_peak_bytes == max(part["peak_memory_bytes"] for part in parts)
    assert (record["name"], record["seed"]) == ("clip-0", 0)


def test_an_evaluation_of_some_patterns_adds_to_what_is_recorded(tmp_path: Path) -> None:
    run, found = _run(tmp_path), []
    with lock_folder(run.path):
        for is_part in (True, False, True, False):
            with evaluation_costs(run, "retrieval/a", is_part=is_part):
                time.sleep(0.02)
            found.append(run.metadata["costs"]["evaluation"]["retrieval/a"])
    first, whole, more, again = found
    assert more["wall_s"] >= whole["wall_s"] + 0.02
    assert more["sessions"] == 2
    assert more["peak_memory_bytes"] >= whole["peak_memory_bytes"]
    assert "sessions" not in {**first, **whole, **again}
    assert RunCosts.from_record(run.metadata).evaluation_s == again["wall_s"] < more["wall_s"]


def test_a_folder_without_a_record_keeps_none(tmp_path: Path) -> None:
    with evaluation_costs(Run(tmp_path / "oracle"), "retrieval/a"):
        pass
    assert not (tmp_path / "oracle").exists()


def test_a_run_of_an_earlier_version_has_no_costs() -> None:
    costs = RunCosts.from_record({"name": "symile-0", "task": "pretraining/symile"})
    assert costs == RunCosts(run="symile-0")
    assert set(vars(costs).values()) == {"symile-0", None}


def test_costs_of_another_form_are_refused_all_at_once() -> None:
    costs = {"parameters": "many", "training": {"wall_s": "long"}, "evaluation": {"a": 3}}
    with pytest.raises(DataError) as caught:
        RunCosts.from_record({"name": "x", "costs": costs})
    for said in ("parameters is not", "training: wall_s is not", "evaluation.a: is no table"):
        assert said in str(caught.value)
    with pytest.raises(DataError, match=r"costs in run\.toml: is no table"):
        RunCosts.from_record({"name": "x", "costs": 3})
