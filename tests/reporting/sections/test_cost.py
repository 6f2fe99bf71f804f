from typing import Any

from clinical_symile.reporting.result_lookup import method_series
from clinical_symile.reporting.sections.cost import draw_cost

COSTS: dict[str, Any] = {
    "device": "NVIDIA H200",
    "devices": 2,
    "parameters": 1_300_000,
    "parameters_trained": 1_250_000,
    "parameters_used": 1_234_567,
    "flops_per_sample": 2_000_000_000,
    "flops_per_step": 3_000_000_000_000,
    "training": {
        "wall_s": 3725.0,
        "processor_s": 90.0,
        "peak_memory_bytes": 2_000_000_000,
        "peak_device_memory_bytes": 5_500_000_000,
        "energy_j": 1_440_000.0,
        "sessions": 2,
    },
    "embedding": {"wall_s": 1.5, "processor_s": 2.0, "peak_memory_bytes": 7_000_000},
    "evaluation": {"a": {"wall_s": 2.5, "processor_s": 2.0, "peak_memory_bytes": 9_000_000}},
}


def _record(name: str, **more: Any) -> dict[str, Any]:
    objective = {"objective": {"name": name.partition("-")[0]}}
    return {"name": name, "task": f"pretraining/{name}", "seed": 0, "definition": objective, **more}


def _drawn(*records: dict[str, Any], others: tuple[str, ...] = ()) -> Any:
    series = method_series(records, [*(record["name"] for record in records), *others])
    return draw_cost(runs=records, series=series, baselines={"prevalence": "The share of cases."})


def test_a_run_has_its_sizes_times_memory_device_and_energy() -> None:
    content = _drawn(_record("clip-0", costs=COSTS), others=("prevalence",))
    main, further = content.panels
    assert [row[1:] for row in main.body] == [
        ["1.23 M", "2 G", "1 h 2 min", "4.0 s", "2 GB", "5.5 GB", "2 of NVIDIA H200", "1.44 MJ"]
    ]
    assert [row[1:] for row in further.body] == [
        ["1 min 30 s", "4.0 s", "9 MB", "1.3 M", "1.25 M", "3 T", "2"]
    ]
    assert content.caption == "Times and memory depend on the machine and on what else it did."


def test_old_and_external_runs_are_not_recorded_and_say_why() -> None:
    old, new = _record("symile-0"), _record("clip-0", costs=COSTS)
    content = _drawn(old, new, others=("my-model",))
    cells = {row[0]: row[1:] for row in content.panels[0].body}
    assert len(cells) == 3
    assert [*cells.values()].count(["not recorded"] * 8) == 2
    assert "my-model: not trained here, so that costs are not known." in content.caption
    assert "Symile: no costs were recorded" in content.caption


def test_energy_that_was_not_measured_has_its_reason() -> None:
    training = {"wall_s": 1.0, "energy_missing": "the energy of processors is not read"}
    content = _drawn(_record("clip-0", costs={**COSTS, "training": training}))
    assert content.panels[0].body[0][-1] == "not measured"
    assert "Energy was not measured: the energy of processors is not read." in content.caption


def test_without_a_trained_run_there_is_no_section() -> None:
    assert _drawn(others=("prevalence", "my-model")) is None
