"""The AUROC of the mask alone is computed for each drawn pattern of a classification task."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.mask_predictability import analyze_masks, mask_auroc
from clinical_symile.missingness.patterns import parse_pattern

PATTERNS = ("observed", "complete", "without-ecg", "mcar-30", "mnar-30", "labs-mcar-50", "mask-no")


@pytest.fixture
def named(catalog: Catalog) -> Callable[[str], Classification | Retrieval]:
    """Reads a task and gives it the patterns above."""

    def read(name: str) -> Classification | Retrieval:
        task = read_task(catalog, name)
        assert isinstance(task, Classification | Retrieval)
        return task.model_copy(update={"missingness": PATTERNS})

    return read


def test_each_drawn_pattern_has_an_auroc_and_its_expected_value_under_mcar(
    named: Callable[[str], Classification], synthetic_store: CohortStore
) -> None:
    task, shown = named("classification/deterioration"), []
    rows = analyze_masks([task], store=synthetic_store, progress=lambda *of: shown.append(of))
    # The store has no table for mask-no; the results of the task have the reason.
    assert [(row.missingness, row.expected) for row in rows] == [
        ("mcar-30", 0.5),
        ("mnar-30", None),
    ]
    assert shown == [(1, 3), (2, 3), (3, 3)]
    for row in rows:
        found = mask_auroc(
            parse_pattern(row.missingness),
            synthetic_store,
            outcome="deterioration",
            split=task.split,
            modalities=task.inputs,
            seed=task.seed,
        )
        assert (row.value, row.low, row.high) == pytest.approx(found[:3])


@pytest.mark.parametrize(("uncertain", "label"), [("positive", 1.0), ("negative", 0.0)])
def test_an_uncertain_label_counts_as_the_task_says(
    uncertain: str,
    label: float,
    named: Callable[[str], Classification],
    synthetic_store: CohortStore,
) -> None:
    task = named("classification/deterioration").model_copy(update={"uncertain": uncertain})
    outcome = synthetic_store.samples["outcome_deterioration"].to_numpy(dtype=float).copy()
    made = []
    for doubtful in (0.5, label):
        outcome[::4] = doubtful
        table = synthetic_store.samples.assign(outcome_deterioration=outcome.copy())
        made.append(analyze_masks([task], store=replace(synthetic_store, samples=table)))
    assert made[0] == made[1]
    assert len(made[0]) > 0


def test_a_retrieval_task_has_no_mask_auroc(
    named: Callable[[str], Retrieval], synthetic_store: CohortStore
) -> None:
    assert analyze_masks([named("retrieval/cxr_given_ecg_labs")], store=synthetic_store) == []
