"""Records of a benchmark that cards and checklists are filled from, made from nothing."""

from dataclasses import replace
from typing import Any

from clinical_symile.reporting.report_data import ReportData
from clinical_symile.tracking.analysis_tables import SubgroupResult
from tests.helpers.report_data import (
    OUTCOME,
    made_cohort,
    made_data,
    with_all_that_is_told,
)

_MODALITY: dict[str, Any] = {"adapter": "cxr", "dtype": "uint8", "unit": "grey level"}
MODALITIES: dict[str, dict[str, Any]] = {
    "cxr": {**_MODALITY, "shape": [1, 64, 64], "parts": ["grey"]},
    "ecg": {
        "adapter": "ecg",
        "dtype": "int16",
        "unit": "uV",
        "shape": [2, 50],
        "parts": ["I", "II"],
    },
    "labs": {
        "adapter": "labs",
        "dtype": "float32",
        "unit": "as in the panel",
        "shape": [2],
        "parts": ["sodium", "urea_nitrogen"],
    },
}
_SPLIT = {"positive": 120, "negative": 280, "uncertain": 0, "unknown": 0}


def full_cohort(**changes: Any) -> dict[str, Any]:
    """The manifest of a credentialed cohort of real patients."""
    made = made_cohort(
        cohort="synthetic",
        cohort_digest="aabbccddeeff0011",
        license="PhysioNet 1.5.0",
        citation="Someone and others, 2026",
        access="credentialed",
        generator=None,
        rows=4044,
        modalities=MODALITIES,
        units={"labs": ["mmol/L", "mg/dL"]},
        outcomes={"deterioration": dict.fromkeys(("train", "tuning", "held_out"), _SPLIT)},
        already_known={},
    )
    return {**made, **changes}


def full_definition(objective: str) -> dict[str, Any]:
    """A definition as `run.toml` has it."""
    return {
        "description": "Three encoders.",
        "modalities": ["cxr", "ecg", "labs"],
        "missingness": "observed",
        "missing_modality": "drop",
        "dim": 16,
        "epochs": 3,
        "batch_size": 64,
        "objective": {"name": objective, "temperature": 0.02},
        "encoders": {
            "cxr": {"name": "small_cnn", "size_px": 16},
            "ecg": {"name": "resnet1d", "width": 4},
            "labs": {"name": "mlp", "hidden": [16], "centred": True},
        },
        "optimiser": {"learning_rate": 0.001},
        "selection": {"metric": "mean_reciprocal_rank", "targets": ["cxr", "ecg"]},
    }


def card_data(seeds: tuple[int, ...] = (0,), **changes: Any) -> ReportData:
    """Two trained methods, a baseline that is compared with them, and every table."""
    data = with_all_that_is_told(made_data(seeds=seeds))
    runs = [
        {**run, "definition": full_definition(run["definition"]["objective"]["name"])}
        for run in data.runs
    ]
    first = next(row for row in data.comparisons if row.task == OUTCOME)
    baseline = replace(
        first, run="prevalence", baseline="symile-0", difference=-0.25, low=-0.3, high=-0.2
    )
    lowest = min(row.value for row in data.results if row.task == OUTCOME and row.metric == "auroc")
    own = [
        replace(row, run="prevalence", value=lowest, low=None, high=None)
        for row in data.results
        if (row.run, row.task, row.missingness) == ("symile-0", OUTCOME, "complete")
    ]
    made = replace(
        data,
        runs=runs,
        results=[*data.results, *own],
        comparisons=[*data.comparisons, baseline],
        baselines={"prevalence": "the share of the train split"},
        cohort=full_cohort(),
    )
    return replace(made, **changes)


def in_groups(data: ReportData) -> ReportData:
    """The same with the results of two groups of the first run."""
    about: dict[str, Any] = {"run": "symile-0", "cohort": "synthetic", "task": OUTCOME}
    numbers: dict[str, Any] = {
        "low": 0.5,
        "high": 0.9,
        "gap": 0.1,
        "gap_low": -0.1,
        "gap_high": 0.3,
    }
    rows = [
        SubgroupResult(
            **about,
            **numbers,
            missingness="complete",
            metric="auroc",
            subgroup="sex",
            level=level,
            value=0.7,
            p_value=0.4,
            p_holm=0.8,
            n_tests=2,
            worst=0.5,
            n_samples=200,
            n_subjects=180,
            withheld=None,
            digest="0123456789abcdef",
        )
        for level in ("F", "M")
    ]
    return replace(data, analysis=replace(data.analysis, subgroups=rows))
