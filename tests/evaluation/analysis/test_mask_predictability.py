"""What masks alone tell of an outcome, of the patterns of a task."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.dependence import mask_auroc
from clinical_symile.evaluation.analysis.mask_predictability import analyze_masks
from clinical_symile.missingness.patterns import parse_pattern

PATTERNS = ("observed", "complete", "without-ecg", "mcar-30", "mnar-30", "labs-mcar-50", "mask-no")


@pytest.fixture
def named(catalog: Catalog) -> Callable[[str], Classification | Retrieval]:
    """Reads a task and gives it the patterns above."""

    def read(name: str) -> Classification | Retrieval:
        task = read_task(catalog.path("tasks", name), name=name)
        assert isinstance(task, Classification | Retrieval)
        return task.model_copy(update={"missingness": PATTERNS})

    return read


def test_each_pattern_that_is_drawn_is_told_of_with_what_it_should_be(
    named: Callable[[str], Classification], synthetic_store: CohortStore
) -> None:
    task, shown = named("classification/deterioration"), []
    told = analyze_masks([task], store=synthetic_store, progress=lambda *of: shown.append(of))
    # The table of mask-no is not there: the task says so where it is scored.
    assert [(row.missingness, row.expected) for row in told] == [
        ("mcar-30", 0.5),
        ("mnar-30", None),
    ]
    assert shown == [(1, 3), (2, 3), (3, 3)]
    for row in told:
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


def test_of_what_predicts_no_outcome_nothing_is_told(
    named: Callable[[str], Retrieval], synthetic_store: CohortStore
) -> None:
    assert analyze_masks([named("retrieval/cxr_given_ecg_labs")], store=synthetic_store) == []
