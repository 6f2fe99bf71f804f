"""Data of reports, made from nothing: plausible results, runs, cohorts and examples."""

from dataclasses import replace
from typing import Any

import numpy as np

from clinical_symile.reporting.report_data import QueryExample, ReportData
from clinical_symile.reporting.sections.reliability import (
    CALIBRATION_QUANTITIES,
    CONFORMAL_QUANTITIES,
    HIGH_CONFIDENCE_QUANTITIES,
    SELECTIVE_QUANTITIES,
)
from clinical_symile.tracking.analysis_tables import Measure, NetBenefit, RunAnalysis
from clinical_symile.tracking.benchmark_tables import (
    MaskAuroc,
    MethodRank,
    Robustness,
    SeedComponents,
)
from clinical_symile.tracking.results import Comparison, Result

MODALITIES = ("cxr", "ecg", "labs")
OUTCOME = "classification/deterioration"
TASKS: dict[str, dict[str, Any]] = {
    f"retrieval/{target}_given_{'_'.join(query)}": {
        "kind": "retrieval",
        "description": f"Find an admission's {target} from the rest.",
        "query": query,
        "target": target,
        "primary": "recall_at_1",
        "higher_is_better": True,
    }
    for target in MODALITIES
    for query in [tuple(m for m in MODALITIES if m != target)]
} | {
    OUTCOME: {
        "kind": "classification",
        "description": "Tell who deteriorates.",
        "inputs": MODALITIES,
        "outcome": "deterioration",
        "primary": "auroc",
        "higher_is_better": True,
    }
}
FIRST = next(iter(TASKS))
LEVELS = {
    "symile": {"complete": 0.71, "without": 0.14, "only": 0.13, "mcar": 0.5},
    "clip": {"complete": 0.36, "without": 0.24, "only": 0.24, "mcar": 0.31},
    "oracle": {"complete": 0.76, "without": 0.27, "only": 0.27, "mcar": 0.6},
}
RETRIEVAL = {
    "recall_at_1": (0.0, 0.1),
    "recall_at_5": (0.3, 0.5),
    "mean_reciprocal_rank": (0.15, 0.293),
}
CLASSIFICATION = {"auroc": (0.25, 0.5), "auprc": (0.05, 0.2), "brier": (-0.4, None)}


def made_results(seeds: tuple[int, ...] = (0,), objectives: tuple[str, ...] = ("symile", "clip")):
    results, comparisons = [], []
    for name, task in TASKS.items():
        inputs = task["query"] if "query" in task else task["inputs"]
        patterns = ["complete", *(f"without-{m}" for m in inputs), "mcar-30"]
        patterns += [f"only-{m}" for m in inputs] if task["kind"] == "classification" else []
        metrics = RETRIEVAL if task["kind"] == "retrieval" else CLASSIFICATION
        for pattern in patterns:
            for seed, objective in [(s, o) for s in seeds for o in objectives] + [(0, "oracle")]:
                level = LEVELS.get(objective, LEVELS["clip"])[pattern.partition("-")[0]]
                for metric, (shift, chance) in metrics.items():
                    value = min(level + shift + 0.01 * seed - 0.02 * list(TASKS).index(name), 0.99)
                    width = 0.0 if objective == "oracle" else 0.03
                    result = Result(
                        run=objective if objective == "oracle" else f"{objective}-{seed}",
                        cohort="synthetic",
                        task=name,
                        split="held_out",
                        missingness=pattern,
                        metric=metric,
                        value=value,
                        low=value - width,
                        high=value + width,
                        interval="bca",
                        chance=chance,
                        n_samples=512,
                        n_subjects=400,
                        hidden={"ecg": 0.0, "labs": 0.0},
                        mask="0123",
                        seed=seed,
                        digest="0123456789abcdef",
                    )
                    results.append(result)
            first, *others = objectives
            at = {
                r.run: r
                for r in results
                if (r.task, r.missingness) == (name, pattern) and r.metric == task["primary"]
            }
            comparisons += [
                Comparison(
                    run=f"{first}-{seed}",
                    baseline=f"{other}-{seed}",
                    cohort="synthetic",
                    task=name,
                    split="held_out",
                    missingness=pattern,
                    metric=task["primary"],
                    difference=(d := at[f"{first}-{seed}"].value - at[f"{other}-{seed}"].value),
                    low=d - 0.04,
                    high=d + 0.04,
                    n_samples=512,
                    n_subjects=400,
                    digest="0123456789abcdef",
                )
                for seed in seeds
                for other in others
            ]
    return results, comparisons


def made_run(objective: str, seed: int) -> dict[str, Any]:
    return {
        "name": f"{objective}-{seed}",
        "task": f"pretraining/{objective}",
        "task_digest": "fedcba9876543210",
        "cohort": "synthetic",
        "store_digest": "0123456789abcdef",
        "seed": seed,
        "started": "2026-03-01T10:00:00+00:00",
        "finished": "2026-03-01T10:04:00+00:00",
        "git_commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "definition": {"objective": {"name": objective}},
    }


def made_cohort(**changes: Any) -> dict[str, Any]:
    counts = {
        split: {
            "samples": n,
            "subjects": n * 3 // 4,
            "present": {"cxr": n * 9 // 10, "ecg": n * 9 // 10, "labs": n - 7},
            "patterns": {
                "cxr+ecg+labs": n * 8 // 10,
                "ecg+labs": n // 10,
                "cxr+labs": n // 10 - 7,
                "cxr+ecg": 2,
            },
        }
        for split, n in {"train": 2400, "tuning": 600, "held_out": 1000}.items()
    }
    return {
        "title": "Synthetic hospital",
        "description": "Chest X-ray, 12-lead ECG and blood labs of made-up admissions.",
        "access": "open",
        "digest": "00112233445566ff",
        "counts": counts,
        "left_out": {"no-modality": 3, "no-split": 41},
        "rejected": {"cxr": {"truncated": 12}, "ecg": {"leads-missing": 4}, "labs": {}},
        "generator": {"parameters": {"subjects": 2000, "seed": 0, "synergy": 1.0}},
    } | changes


def made_history(epochs: int = 12, scale: float = 1.0) -> list[dict[str, float]]:
    return [
        {
            "epoch": e,
            "step": 30 * e,
            "loss": scale * (1 + 4 / e),
            "logit_scale": 14.0,
            "learning_rate": 1e-3,
            "tuning/recall_at_1": 0.7 * (1 - 0.8**e) / scale,
            "seconds": 2.0,
        }
        for e in range(1, epochs + 1)
    ]


def made_gallery() -> list[QueryExample]:
    rng = np.random.default_rng(0)
    time = np.arange(5000) / 500
    beat = 1.2 * np.exp(-(((time % 0.8) - 0.3) ** 2) / 0.0004) + 0.2 * np.exp(
        -(((time % 0.8) - 0.55) ** 2) / 0.003
    )
    ecg = np.outer(np.linspace(0.4, 1.2, 12), beat) + rng.normal(0, 0.02, (12, 5000))
    labs = [
        ("Creatinine", 1.13, "mg/dL"),
        ("Potassium", 4.2, "mmol/L"),
        ("Haemoglobin", 12.9, "g/dL"),
    ]

    def xray(shade: int) -> np.ndarray:
        y, x = np.mgrid[-1:1:160j, -1:1:160j]
        lungs = (
            200
            - 120 * (np.exp(-((abs(x) - 0.45) ** 2) * 12 - y**2 * 2))
            + shade * (x**2 + y**2 < 0.1)
        )
        return np.clip(lungs, 0, 255).astype(np.uint8)

    found = [(xray(10 * n), n == 1) for n in range(5)]
    other = [(xray(10 * n), n == 0) for n in range(5)]
    query = {"ecg": ecg, "labs": labs}
    back = [(ecg, True), (ecg[::-1].copy(), False)]
    return [
        QueryExample(task=FIRST, query=query, answers={"symile-0": other, "clip-0": found}),
        QueryExample(
            task=FIRST,
            query={"ecg": ecg, "labs": labs},
            answers={"symile-0": back, "clip-0": back[::-1]},
        ),
    ]


def made_data(
    seeds: tuple[int, ...] = (0,),
    objectives: tuple[str, ...] = ("symile", "clip"),
    tasks: tuple[str, ...] = (FIRST, OUTCOME),
    **changes: Any,
) -> ReportData:
    results, comparisons = made_results(seeds, objectives)
    runs = [made_run(objective, seed) for seed in seeds for objective in objectives]
    data = ReportData(
        results=[row for row in results if row.task in tasks],
        comparisons=[row for row in comparisons if row.task in tasks],
        unscored=[],
        notes=[],
        runs=runs,
        histories={run["name"]: made_history(scale=1 + 0.1 * n) for n, run in enumerate(runs)},
        cohort=made_cohort(),
        tasks={name: TASKS[name] for name in tasks},
        above_best=[],
        tested=8,
        oracle=None,
        gallery=[],
        versions={"python": "3.11.7", "torch": "2.15.0"},
        elapsed_s=254.0,
    )
    return replace(data, **changes)


def made_comparison(
    run: str, baseline: str, pattern: str, difference: float, p_holm: float = 0.001
) -> Comparison:
    """A difference of recall of two runs, with an interval of 0.02 to either side."""
    return Comparison(
        run=run,
        baseline=baseline,
        cohort="synthetic",
        task=FIRST,
        split="held_out",
        missingness=pattern,
        metric="recall_at_1",
        difference=difference,
        low=difference - 0.02,
        high=difference + 0.02,
        n_samples=500,
        n_subjects=400,
        digest="0123456789abcdef",
        p_value=p_holm,
        p_holm=p_holm,
    )


def with_all_there_is() -> ReportData:
    """Three seeds of three objectives, one of them a stranger's, on every task, and a gallery."""
    objectives = ("symile", "clip", "my_lab.losses:Triple")
    data = made_data(seeds=(0, 1, 2), objectives=objectives, tasks=tuple(TASKS))
    return replace(data, gallery=made_gallery())


def with_all_that_is_told(data: ReportData) -> ReportData:
    """The same with rows of every table besides results, made from nothing."""
    about: dict[str, Any] = {"cohort": "synthetic", "task": OUTCOME, "digest": "0123456789abcdef"}
    runs = [str(run["name"]) for run in data.runs]
    patterns = ["complete", *(f"without-{m}" for m in MODALITIES), "mcar-30"]
    ends: dict[str, Any] = {"value": 0.4, "low": 0.3, "high": 0.5}
    quantities = (
        *CALIBRATION_QUANTITIES,
        *CONFORMAL_QUANTITIES,
        *HIGH_CONFIDENCE_QUANTITIES,
        *SELECTIVE_QUANTITIES,
    )
    measures = [
        Measure(
            **about, **ends, run=run, missingness=pattern, part=None, measure=name, n_samples=500
        )
        for run in [*runs, "oracle"]
        for pattern in patterns
        for name in [quantity.measure for quantity in quantities]
    ]
    gains: dict[str, Any] = {
        "treat_all": 0.1,
        "gain": 0.2,
        "gain_low": 0.1,
        "gain_high": 0.3,
        "n_samples": 500,
    }
    net_benefit = [
        NetBenefit(
            **about, **ends, **gains, run=run, missingness=pattern, part=None, threshold=threshold
        )
        for run in runs
        for pattern in ("complete", "mcar-30")
        for threshold in (0.1, 0.2, 0.5)
    ]
    row = next(row for row in data.comparisons if row.task == OUTCOME)
    losses = [
        replace(row, run=run, baseline=run, against="complete", missingness=f"without-{modality}")
        for run in runs
        for modality in MODALITIES
    ]
    methods = list(dict.fromkeys(str(run["task"]) for run in data.runs))
    ranks = [
        MethodRank(
            cohort="synthetic",
            method=method,
            missingness="all",
            tasks=[OUTCOME],
            rank=float(place + 1),
            low=1.0,
            high=3.0,
            best=0.3,
        )
        for place, method in enumerate(methods)
    ]
    robustness = [
        Robustness(
            **about,
            **ends,
            method=method,
            metric="auroc",
            quantity=quantity,
            missingness="mcar-30",
            reason=None,
            n_methods=1,
            n_samples=500,
            n_subjects=500,
        )
        for method in methods
        for quantity in ("retained", "area")
    ]
    deviations: dict[str, Any] = {
        "people": 0.02,
        "seeds": 0.01,
        "both": 0.0,
        "between": 0.01,
        "seeds_low": 0.005,
        "seeds_high": 0.06,
    }
    seeds = [
        SeedComponents(
            **about,
            **deviations,
            missingness="complete",
            method=method,
            metric="auroc",
            n_seeds=3,
            mean=0.4,
            low=0.3,
            high=0.5,
            n_samples=500,
        )
        for method in methods
    ]
    masks = [MaskAuroc(**about, **ends, missingness="mcar-30", part=None, expected=0.5)]
    analysis = RunAnalysis(measures=measures, net_benefit=net_benefit)
    data = replace(data, analysis=analysis, losses=losses, ranks=ranks, seeds=seeds, masks=masks)
    return replace(data, robustness=robustness)


def of_ways(data: ReportData) -> ReportData:
    """The same where the first run says how it learned, and all others are of strangers."""
    first, *others = data.runs
    way = {"missingness": "mcar-50", "missing_modality": "dropout"}
    stranger = {"description": "A model of others."}
    runs = [{**first, "definition": {**first["definition"], **way}}]
    runs += [{**run, "definition": {**run["definition"], **stranger}} for run in others]
    return replace(data, runs=runs)


def of_sets(data: ReportData) -> ReportData:
    """The same where the first run was trained with all modalities, and the others without ECG."""
    about = {"objective": {"name": "clip"}, "modalities": list(MODALITIES)}
    about |= {"missing_modality": "complete"}
    patterns = ["complete", *["without-ecg"] * (len(data.runs) - 1)]
    runs = [
        {**run, "definition": {**about, "missingness": pattern}}
        for run, pattern in zip(data.runs, patterns, strict=True)
    ]
    return replace(data, runs=runs)


def of_shares(data: ReportData) -> ReportData:
    """The same where the runs lie between two others."""
    about = {"first": "start", "second": "further", "first_sha256": "a", "second_sha256": "b"}
    count = len(data.runs) - 1
    runs = [
        {**run, "interpolated": {**about, "alpha": number / count}}
        for number, run in enumerate(data.runs)
    ]
    return replace(data, runs=runs)


def of_pairs(data: ReportData) -> ReportData:
    """The same where the objectives are one, trained on matched, fewer and wrong pairs."""
    words = ("matched", "paired-50", "mismatched-20")
    tasks = list(dict.fromkeys(run["task"] for run in data.runs))
    definition = {"objective": {"name": "symile"}}
    pairs = dict(zip(tasks, words, strict=True))
    runs = [{**run, "definition": {**definition, "pairs": pairs[run["task"]]}} for run in data.runs]
    return replace(data, runs=runs)


def of_markers(data: ReportData) -> ReportData:
    """The same where other patterns are those of a marker that ends, with the losses under it."""
    names = {"complete": "complete", "without-ecg": "cxr-marker-shift-deterioration-0"}
    names["mcar-30"] = "cxr-marker-shift-deterioration-90"
    rows = [row for row in data.results if row.missingness in names]
    results = [replace(row, missingness=names[row.missingness]) for row in rows]
    template = made_comparison("", "", names["mcar-30"], -0.2)
    lost = [
        replace(template, run=run["name"], baseline=run["name"], task=OUTCOME, metric="auroc")
        for run in data.runs
    ]
    return replace(data, results=results, losses=lost)


def real_cohort() -> dict[str, Any]:
    return made_cohort(access="credentialed", generator=None)
