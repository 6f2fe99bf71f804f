"""What holds for every baseline in the table."""

from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.baseline import BaselineScorer
from clinical_symile.evaluation.predictors.embedding import samples
from clinical_symile.metrics.classification import auroc
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry import BASELINES, resolve
from tests.helpers.synthetic import tiny

each_baseline = pytest.mark.parametrize("name", sorted(BASELINES))


@pytest.fixture
def task(catalog: Catalog) -> Classification:
    name = "classification/deterioration"
    made = read_task(catalog.path("tasks", name), name=name)
    assert isinstance(made, Classification)
    return made


@pytest.fixture
def scorer(catalog: Catalog, synthetic_store: CohortStore, request) -> BaselineScorer:
    baseline = resolve(request.param, BASELINES, what="baseline")()
    return BaselineScorer(baseline, synthetic_store, tiny(catalog, "pretraining/clip"))


def _predicted(scorer: BaselineScorer, task: Classification, pattern: str) -> np.ndarray:
    made = parse_pattern(pattern)
    rows, available = samples(scorer.store, task.split, task.inputs, made, seed=task.seed)
    return scorer.probability(task, rows, available, made)


class _Spoiled(CohortStore):
    """A store that refuses to be read where it is hidden."""

    def __init__(self, *, hidden: str, **fields):
        super().__init__(**fields)
        object.__setattr__(self, "hidden", hidden)

    def array(self, modality: str) -> np.ndarray:
        made = np.array(super().array(modality))
        return np.full_like(made, -1) if modality == self.__dict__["hidden"] else made


@pytest.mark.parametrize("scorer", sorted(BASELINES), indirect=True)
def test_it_gives_probabilities_the_same_again_and_says_what_it_is(
    scorer: BaselineScorer, task: Classification
) -> None:
    first = _predicted(scorer, task, "complete")
    assert ((first >= 0) & (first <= 1)).all()
    again = replace(scorer, baseline=type(scorer.baseline)())
    np.testing.assert_array_equal(first, _predicted(again, task, "complete"))
    assert scorer.baseline.description.endswith(".")


@pytest.mark.parametrize("scorer", sorted(BASELINES), indirect=True)
def test_what_a_pattern_hides_may_hold_anything(
    scorer: BaselineScorer, task: Classification
) -> None:
    if "Labs" in type(scorer.baseline).__name__ or "Boosting" in type(scorer.baseline).__name__:
        with pytest.raises(CannotScore, match="no labs are seen"):
            _predicted(scorer, task, "without-labs")
        return
    expected = _predicted(scorer, task, "without-labs")
    spoiled = _Spoiled(**vars(scorer.store), hidden="labs")
    other = replace(scorer, baseline=type(scorer.baseline)(), store=spoiled)
    np.testing.assert_array_equal(_predicted(other, task, "without-labs"), expected)


@pytest.mark.parametrize("scorer", ["prevalence"], indirect=True)
def test_it_cannot_retrieve(scorer: BaselineScorer, catalog: Catalog) -> None:
    name = "retrieval/cxr_given_ecg_labs"
    task = read_task(catalog.path("tasks", name), name=name)
    assert isinstance(task, Retrieval)
    rows, available = np.arange(2), np.ones((2, 2), dtype=bool)
    with pytest.raises(CannotScore, match="it cannot retrieve"):
        scorer.score(task, rows, available, rows[:, None])
    with pytest.raises(CannotScore, match="it cannot retrieve"):
        scorer.score_all(task, rows, available, rows)


@pytest.mark.parametrize("scorer", sorted(BASELINES), indirect=True)
def test_labels_of_one_class_teach_nothing(scorer: BaselineScorer, task: Classification) -> None:
    table = scorer.store.samples.assign(outcome_deterioration=1.0)
    with pytest.raises(CannotScore, match="the train split needs samples with the outcome"):
        _predicted(replace(scorer, store=replace(scorer.store, samples=table)), task, "complete")


@pytest.mark.parametrize("scorer", ["labs-logistic", "labs-boosting"], indirect=True)
def test_labs_tell_what_is_in_them(scorer: BaselineScorer, task: Classification) -> None:
    shown = scorer.store.samples["kept_shown_labs"].to_numpy() & 1
    samples_ = scorer.store.samples.assign(outcome_deterioration=shown.astype(float))
    known = replace(scorer, store=replace(scorer.store, samples=samples_))
    rows, _ = samples(
        known.store, task.split, task.inputs, parse_pattern("only-labs"), seed=task.seed
    )
    assert auroc(shown[rows], _predicted(known, task, "only-labs")) > 0.85


@pytest.mark.parametrize("scorer", ["prevalence", "availability"], indirect=True)
def test_who_is_measured_tells_nothing_where_all_are(
    scorer: BaselineScorer, task: Classification
) -> None:
    only = task.model_copy(update={"inputs": ("cxr", "ecg")})
    rows = scorer.store.rows("train")
    rows = rows[scorer.store.present[rows][:, :2].all(axis=1)]
    prevalence = scorer.store.outcome("deterioration")[rows].mean()
    np.testing.assert_allclose(_predicted(scorer, only, "complete"), prevalence, atol=1e-3)


@pytest.mark.parametrize("scorer", ["availability"], indirect=True)
def test_who_is_measured_tells_where_it_does(scorer: BaselineScorer, task: Classification) -> None:
    label = scorer.store.present[:, 0].astype(float)
    table = scorer.store.samples.assign(outcome_deterioration=label)
    known = replace(scorer, store=replace(scorer.store, samples=table))
    rows, _ = samples(
        known.store, task.split, task.inputs, parse_pattern("observed"), seed=task.seed
    )
    assert auroc(label[rows].astype(int), _predicted(known, task, "observed")) == 1


@pytest.mark.parametrize("scorer", ["late-fusion"], indirect=True)
def test_late_fusion_is_the_mean_of_each_modality_alone(
    scorer: BaselineScorer, task: Classification
) -> None:
    def odds(pattern: str) -> np.ndarray:
        probability = _predicted(scorer, task, pattern)
        return np.log(probability / (1 - probability))

    alone = [odds(f"only-{name}") for name in task.inputs]
    np.testing.assert_allclose(odds("complete"), np.mean(alone, axis=0), atol=1e-5)
    np.testing.assert_allclose(odds("without-ecg"), np.mean(alone[::2], axis=0), atol=1e-5)


@pytest.mark.parametrize("scorer", ["late-fusion"], indirect=True)
def test_late_fusion_learns_from_the_labels_that_a_task_allows(
    scorer: BaselineScorer, task: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []

    def fit(classifier, store, train, tuning, **rest):
        learned.append(len(train.rows))
        return classifier

    monkeypatch.setattr("clinical_symile.evaluation.baselines.late_fusion.fit_classifier", fit)
    for share, seed in ((1.0, 0), (0.5, 0), (0.5, 1)):
        few = task.model_copy(update={"label_share": share, "label_seeds": (seed,)})
        _predicted(scorer, few, "only-cxr")
        _predicted(scorer, few, "only-cxr")
    assert len(learned) == 3, "once for each choice of labels"
    assert learned[1] == learned[2] < learned[0]
