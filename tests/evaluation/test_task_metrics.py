from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.evaluation.task_metrics import primary_metric, smallest_class, task_metrics

TABLE = {
    "kind": "classification",
    "description": "Tell two findings.",
    "outcome": ["edema", "effusion"],
    "inputs": ["cxr"],
    "split": "held_out",
    "missingness": ["complete"],
    "metrics": ["auroc", "brier"],
    "primary": "auroc",
    "probe": {"name": "prototype"},
}


@pytest.fixture
def task() -> Callable[..., Classification]:
    def made(**fields: object) -> Classification:
        task = parse_task({**TABLE, **fields}, name="classification/x", where="x.toml")
        assert isinstance(task, Classification)
        return task

    return made


def _frame(rng: np.random.Generator, parts: list[str], n: int = 40) -> pd.DataFrame:
    """Labels of different samples in each part: not every one is known."""
    frames = []
    for part in parts:
        rows = np.sort(rng.choice(60, n, replace=False))
        label = rng.permutation(np.arange(n) % 2)
        frames.append(
            pd.DataFrame({"row": rows, "label": label, "probability": rng.random(n), "part": part})
        )
    return pd.concat(frames, ignore_index=True)


def _values(task: Classification, frame: pd.DataFrame) -> dict[str, float]:
    return {
        metric.name: metric.compute(*(frame[name].to_numpy() for name in metric.columns))
        for metric in task_metrics(task)
    }


def test_a_task_of_one_outcome_has_the_metrics_themselves(task: Callable) -> None:
    one = task(outcome="edema")
    assert list(one.questions) == ["edema"]
    assert [metric.columns for metric in task_metrics(one)] == [("label", "probability")] * 2
    retrieval = parse_task(
        {
            "kind": "retrieval",
            "description": "x.",
            "query": ["ecg"],
            "target": "cxr",
            "split": "held_out",
            "candidates": 10,
            "missingness": ["complete"],
            "metrics": ["recall_at_1"],
            "primary": "recall_at_1",
        },
        name="retrieval/x",
        where="x.toml",
    )
    assert isinstance(retrieval, Retrieval)
    assert primary_metric(retrieval).columns == ("above", "tied")


def test_a_class_counts_only_for_the_metrics_that_rest_on_it(
    task: Callable, rng: np.random.Generator
) -> None:
    frame, two = _frame(rng, ["edema", "effusion"]), task()
    assert smallest_class(two, "auroc", frame) == 20
    few = frame["label"].where(frame["part"] == "edema", frame.index % 10 == 0).astype(int)
    small = frame.assign(label=few)
    assert smallest_class(two, "auroc", small) == smallest_class(two, "auroc/effusion", small) == 4
    assert smallest_class(two, "auroc/edema", small) == 20
    # AUROC of an outcome without positives is left out of the mean; its Brier score is not.
    none = frame.assign(label=frame["label"].where(frame["part"] == "edema", 0))
    assert smallest_class(two, "auroc", none) == 20
    assert smallest_class(two, "brier", none) == 0
    assert smallest_class(task(outcome="edema"), "auroc", frame.query("part == 'edema'")) == 20


def test_metrics_of_several_outcomes_are_their_mean_and_each_ones_own(
    task: Callable, rng: np.random.Generator
) -> None:
    frame = _frame(rng, ["edema", "effusion"])
    own = {part: roc_auc_score(f["label"], f["probability"]) for part, f in frame.groupby("part")}
    found = _values(task(), frame)
    assert list(found) == [
        *("auroc", "brier", "auroc/edema", "brier/edema", "auroc/effusion", "brier/effusion")
    ]
    assert found["auroc"] == pytest.approx(np.mean(list(own.values())), abs=1e-12)
    assert found["auroc/effusion"] == pytest.approx(own["effusion"], abs=1e-12)


def test_metrics_of_several_draws_are_their_mean(task: Callable, rng: np.random.Generator) -> None:
    few = task(outcome="edema", label_share=0.05, label_seeds=[0, 7, 9])
    assert list(few.questions) == ["edema/0", "edema/7", "edema/9"]
    frame = _frame(rng, ["edema/0", "edema/7", "edema/9"])
    expected = [roc_auc_score(f["label"], f["probability"]) for _, f in frame.groupby("part")]
    found = _values(few, frame)
    assert set(found) == {"auroc", "brier"}
    assert found["auroc"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_outcomes_and_draws_are_parts_together(task: Callable, rng: np.random.Generator) -> None:
    both = task(label_share=0.5, label_seeds=[0, 1])
    assert list(both.questions) == ["edema/0", "edema/1", "effusion/0", "effusion/1"]
    frame = _frame(rng, list(both.questions))
    own = [
        roc_auc_score(f["label"], f["probability"])
        for part, f in frame.groupby("part")
        if str(part).startswith("edema")
    ]
    assert _values(both, frame)["auroc/edema"] == pytest.approx(np.mean(own), abs=1e-12)


def test_the_form_for_many_resamples_is_the_metric_of_each(
    task: Callable, rng: np.random.Generator
) -> None:
    frame = _frame(rng, ["edema", "effusion"])
    weights = rng.integers(3, size=(20, len(frame)))
    for metric in task_metrics(task()):
        arrays = [frame[name].to_numpy() for name in metric.columns]
        assert metric.weighted is not None
        for value, row in zip(metric.weighted(weights, *arrays), weights, strict=True):
            drawn = np.repeat(np.arange(len(row)), row)
            assert value == pytest.approx(metric.compute(*(a[drawn] for a in arrays)), abs=1e-12)


def test_chance_is_the_mean_over_parts(task: Callable) -> None:
    known = (np.array([1, 0, 0, 0, 1, 0]), np.array(["edema"] * 4 + ["effusion"] * 2))
    brier = next(metric for metric in task_metrics(task()) if metric.name == "brier")
    assert brier.chance is not None
    assert brier.chance(known) == pytest.approx((0.25 * 0.75 + 0.25) / 2)


def test_an_outcome_of_one_class_is_named(task: Callable, rng: np.random.Generator) -> None:
    frame = _frame(rng, ["edema", "effusion"])
    frame.loc[frame["part"] == "effusion", "label"] = 1
    metric = primary_metric(task())
    with pytest.raises(ValueError, match="effusion: AUROC needs both classes"):
        metric.compute(*(frame[name].to_numpy() for name in metric.columns))
