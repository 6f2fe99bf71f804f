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
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.base import RetrievalPredictor, draw_request
from clinical_symile.evaluation.predictors.baseline import BaselinePredictor
from clinical_symile.metrics.classification import auroc
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import BASELINES
from tests.helpers.synthetic import tiny

each_baseline = pytest.mark.parametrize("name", sorted(BASELINES))


@pytest.fixture
def task(catalog: Catalog) -> Classification:
    name = "classification/deterioration"
    made = read_task(catalog, name)
    assert isinstance(made, Classification)
    return made


@pytest.fixture
def predictor(catalog: Catalog, synthetic_store: CohortStore, request) -> BaselinePredictor:
    baseline = resolve(request.param, BASELINES)()
    return BaselinePredictor(baseline, synthetic_store, tiny(catalog, "pretraining/clip"))


def _predicted(predictor: BaselinePredictor, task: Classification, pattern: str) -> np.ndarray:
    return predictor.predict_proba(draw_request(task, predictor.store, parse_pattern(pattern)))


class _Spoiled(CohortStore):
    """A store that refuses to be read where it is hidden."""

    def __init__(self, *, hidden: str, **fields):
        super().__init__(**fields)
        object.__setattr__(self, "hidden", hidden)

    def array(self, modality: str) -> np.ndarray:
        made = np.array(super().array(modality))
        return np.full_like(made, -1) if modality == self.__dict__["hidden"] else made


@pytest.mark.parametrize("predictor", sorted(BASELINES), indirect=True)
def test_it_gives_probabilities_the_same_again_and_says_what_it_is(
    predictor: BaselinePredictor, task: Classification
) -> None:
    first = _predicted(predictor, task, "complete")
    assert ((first >= 0) & (first <= 1)).all()
    again = replace(predictor, baseline=type(predictor.baseline)())
    np.testing.assert_array_equal(first, _predicted(again, task, "complete"))
    assert predictor.baseline.description.endswith(".")


@pytest.mark.parametrize("predictor", sorted(BASELINES), indirect=True)
def test_what_a_pattern_hides_may_hold_anything(
    predictor: BaselinePredictor, task: Classification
) -> None:
    if (
        "Labs" in type(predictor.baseline).__name__
        or "Boosting" in type(predictor.baseline).__name__
    ):
        with pytest.raises(CannotScore, match="no labs are available"):
            _predicted(predictor, task, "without-labs")
        return
    expected = _predicted(predictor, task, "without-labs")
    spoiled = _Spoiled(**vars(predictor.store), hidden="labs")
    other = replace(predictor, baseline=type(predictor.baseline)(), store=spoiled)
    np.testing.assert_array_equal(_predicted(other, task, "without-labs"), expected)


@pytest.mark.parametrize("predictor", ["prevalence"], indirect=True)
def test_a_retrieval_task_is_skipped_with_its_reason(
    predictor: BaselinePredictor, catalog: Catalog
) -> None:
    name = "retrieval/cxr_given_ecg_labs"
    task = read_task(catalog, name)
    assert isinstance(task, Retrieval)
    assert not isinstance(predictor, RetrievalPredictor)
    made = evaluate(task, predictor, store=predictor.store, run="prevalence", seed=0)
    assert not made.results
    assert {row.missingness for row in made.unscored} == set(task.missingness)
    assert all("does not score candidates" in row.reason for row in made.unscored)


@pytest.mark.parametrize("predictor", sorted(BASELINES), indirect=True)
def test_labels_of_one_class_teach_nothing(
    predictor: BaselinePredictor, task: Classification
) -> None:
    table = predictor.store.samples.assign(outcome_deterioration=1.0)
    with pytest.raises(CannotScore, match="the train split needs samples with the outcome"):
        _predicted(
            replace(predictor, store=replace(predictor.store, samples=table)), task, "complete"
        )


@pytest.mark.parametrize("predictor", ["labs-logistic", "labs-boosting"], indirect=True)
def test_labs_tell_what_is_in_them(predictor: BaselinePredictor, task: Classification) -> None:
    shown = predictor.store.samples["kept_shown_labs"].to_numpy() & 1
    samples_ = predictor.store.samples.assign(outcome_deterioration=shown.astype(float))
    known = replace(predictor, store=replace(predictor.store, samples=samples_))
    rows = draw_request(task, known.store, parse_pattern("only-labs")).rows
    assert auroc(shown[rows], _predicted(known, task, "only-labs")) > 0.85


@pytest.mark.parametrize("predictor", ["prevalence", "availability"], indirect=True)
def test_who_is_measured_tells_nothing_where_all_are(
    predictor: BaselinePredictor, task: Classification
) -> None:
    only = task.model_copy(update={"inputs": ("cxr", "ecg")})
    rows = predictor.store.rows("train")
    rows = rows[predictor.store.present[rows][:, :2].all(axis=1)]
    prevalence = predictor.store.outcome("deterioration")[rows].mean()
    np.testing.assert_allclose(_predicted(predictor, only, "complete"), prevalence, atol=1e-3)


@pytest.mark.parametrize("predictor", ["availability"], indirect=True)
def test_who_is_measured_tells_where_it_does(
    predictor: BaselinePredictor, task: Classification
) -> None:
    label = predictor.store.present[:, 0].astype(float)
    table = predictor.store.samples.assign(outcome_deterioration=label)
    known = replace(predictor, store=replace(predictor.store, samples=table))
    rows = draw_request(task, known.store, parse_pattern("observed")).rows
    assert auroc(label[rows].astype(int), _predicted(known, task, "observed")) == 1


@pytest.mark.parametrize("predictor", ["late-fusion"], indirect=True)
def test_late_fusion_is_the_mean_of_each_modality_alone(
    predictor: BaselinePredictor, task: Classification
) -> None:
    def odds(pattern: str) -> np.ndarray:
        probability = _predicted(predictor, task, pattern)
        return np.log(probability / (1 - probability))

    alone = [odds(f"only-{name}") for name in task.inputs]
    np.testing.assert_allclose(odds("complete"), np.mean(alone, axis=0), atol=1e-5)
    np.testing.assert_allclose(odds("without-ecg"), np.mean(alone[::2], axis=0), atol=1e-5)


@pytest.mark.parametrize("predictor", ["late-fusion"], indirect=True)
def test_late_fusion_learns_from_the_labels_that_a_task_allows(
    predictor: BaselinePredictor, task: Classification, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []

    def fit(classifier, store, train, tuning, **rest):
        learned.append(len(train.rows))
        return classifier

    monkeypatch.setattr("clinical_symile.evaluation.baselines.late_fusion.fit_classifier", fit)
    for share, seed in ((1.0, 0), (0.5, 0), (0.5, 1)):
        few = task.model_copy(update={"label_share": share, "label_seeds": (seed,)})
        _predicted(predictor, few, "only-cxr")
        _predicted(predictor, few, "only-cxr")
    assert len(learned) == 3, "once for each choice of labels"
    assert learned[1] == learned[2] < learned[0]
