from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.masks import draw_mask
from clinical_symile.data.parts import draw_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.evaluate import Evaluation, evaluate
from clinical_symile.evaluation.fingerprint import expected_fingerprints, result_fingerprints
from clinical_symile.evaluation.predictors.base import Predictor, Request, hide_parts_from
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.missingness.patterns import expand, parse_pattern
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.registry.families import RETRIEVAL_METRICS
from clinical_symile.training.learner import build_learner
from tests.helpers.objective_values import SCORING, registered
from tests.helpers.synthetic import tiny

RETRIEVALS = [
    f"retrieval/{name}"
    for name in ("cxr_given_ecg_labs", "ecg_given_cxr_labs", "labs_given_cxr_ecg")
]
DETERIORATION = "classification/deterioration"


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def read(catalog: Catalog) -> Callable[..., Retrieval | Classification]:
    """A function that reads a task by name, with some fields set."""

    def read(name: str, *overrides: str) -> Retrieval | Classification:
        task = read_task(catalog, name, overrides=overrides)
        assert isinstance(task, Retrieval | Classification)
        return task

    return read


def _constant(store: CohortStore, objective: str = "symile", *, dim: int = 5) -> EmbeddingPredictor:
    """A model that maps everything to one point."""
    present = torch.from_numpy(store.present.copy())
    scores = registered(objective, dim=dim)
    point = torch.nn.functional.normalize(torch.arange(1.0, dim + 1), dim=0)
    if scores.spread:
        point = torch.cat([point, torch.zeros(dim)])
    embeddings = Embeddings(
        z=point * present[:, :, None],
        available=present,
        modalities=store.modalities,
        rows=torch.arange(len(present)),
        spread=scores.spread,
    )
    return EmbeddingPredictor(embeddings, scores, store)


def _random(store: CohortStore) -> EmbeddingPredictor:
    """A model that has learned nothing."""
    constant = _constant(store)
    z = torch.randn(constant.embeddings.z.shape, generator=torch.Generator().manual_seed(0))
    z = torch.nn.functional.normalize(z, dim=2) * constant.embeddings.available[:, :, None]
    return replace(constant, embeddings=replace(constant.embeddings, z=z))


@dataclass
class _Counting:
    """A predictor that notes the queries that it scores lists for, with what each has."""

    predictor: EmbeddingPredictor
    scored: list[tuple[int, bytes]] = field(default_factory=list)

    def score(self, request: Request, candidates: np.ndarray) -> np.ndarray:
        queries = zip(request.rows, request.available, strict=True)
        self.scored += [(row, available.tobytes()) for row, available in queries]
        return self.predictor.score(request, candidates)

    def score_shared(self, request: Request, candidates: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def _evaluate(
    task: Retrieval | Classification,
    store: CohortStore,
    *,
    predictor: Predictor | None = None,
    missingness: tuple[str, ...] | None = None,
) -> Evaluation:
    predictor = predictor or _constant(store)
    return evaluate(task, predictor, store=store, run="a-0", seed=3, missingness=missingness)


# Every objective on one task, and one objective on every task; the others are slow.
CONSTANT_MODELS = [
    pytest.param(
        *(name, objective),
        marks=() if name == RETRIEVALS[0] or objective == "symile" else pytest.mark.slow,
    )
    for name, objective in product(RETRIEVALS, SCORING)
]


@pytest.mark.parametrize(("name", "objective"), CONSTANT_MODELS)
@pytest.mark.parametrize("candidates", ["10", '"all"'])
def test_a_constant_model_scores_chance_in_retrieval(
    name: str, objective: str, candidates: str, read: Callable, synthetic_store: CohortStore
) -> None:
    task = read(name, f"candidates={candidates}")
    model = _constant(synthetic_store, objective, dim=6)  # some objectives need an even width
    made = _evaluate(task, synthetic_store, predictor=model)
    assert len(made.results) == len(task.missingness) * len(task.metrics)
    for result in made.results:
        assert result.chance is not None
        assert result.value == pytest.approx(result.chance, rel=1e-12), result
        if candidates == "10":
            assert result.chance == pytest.approx(
                {"recall_at_1": 0.1, "recall_at_5": 0.5}.get(
                    result.metric, sum(1 / rank for rank in range(1, 11)) / 10
                )
            )


def test_a_constant_model_scores_chance_in_classification(
    read: Callable, synthetic_store: CohortStore
) -> None:
    # Under mcar-30 a probe also sees which modalities are there, which is chance by luck alone.
    task = read(DETERIORATION)
    made = _evaluate(task, synthetic_store)
    for result in made.results:
        if result.metric in ("auroc", "auprc"):
            assert result.chance is not None
            if result.missingness == "mcar-30":
                assert result.value == pytest.approx(result.chance, abs=0.25)
            else:
                assert result.value == pytest.approx(result.chance, rel=1e-12), result
        if result.metric == "auroc":
            assert result.chance == 0.5


def test_a_result_says_where_it_is_from(read: Callable, synthetic_store: CohortStore) -> None:
    task = read(RETRIEVALS[0])
    made = _evaluate(task, synthetic_store, missingness=("complete",))
    assert [result.metric for result in made.results] == list(task.metrics)
    for result in made.results:
        assert (result.run, result.seed, result.cohort) == ("a-0", 3, "synthetic")
        assert (result.task, result.split, result.missingness) == (
            task.name,
            "held_out",
            "complete",
        )
        assert result.low <= result.value <= result.high  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
        outcome = made.outcomes["complete"]
        assert result.n_samples == len(outcome)
        subjects = synthetic_store.samples["subject"][outcome["row"]]
        assert result.n_subjects == len(set(subjects)) < result.n_samples


@pytest.mark.parametrize("name", [RETRIEVALS[0], DETERIORATION])
def test_all_patterns_but_observed_use_the_same_samples(
    name: str, read: Callable, synthetic_store: CohortStore
) -> None:
    task = read(name)
    outcomes = _evaluate(task, synthetic_store).outcomes
    assert set(outcomes) == set(task.missingness)
    for pattern, outcome in outcomes.items():
        if pattern == "observed":
            assert set(outcome["row"]) > set(outcomes["complete"]["row"])
        else:
            assert outcome["row"].equals(outcomes["complete"]["row"])
        modalities = task.query if isinstance(task, Retrieval) else task.inputs
        columns = [synthetic_store.modalities.index(name) for name in modalities]
        enough = np.any if pattern == "observed" else np.all
        assert enough(synthetic_store.present[outcome["row"]][:, columns], axis=1).all()


class _Fixed:
    """Scores that are known: the candidate's row number, negated for odd queries."""

    def score(self, request: Request, candidates: np.ndarray) -> np.ndarray:
        return np.where(request.rows[:, None] % 2, -1.0, 1.0) * candidates

    score_shared = score


def test_outcomes_count_who_scores_above_and_name_the_first_answers(
    read: Callable, synthetic_store: CohortStore
) -> None:
    made = _evaluate(read(RETRIEVALS[0]), synthetic_store, predictor=_Fixed())
    lists = made.candidates.groupby("query")["candidate"].agg(list)
    for outcome in made.outcomes["complete"].to_dict("records"):
        listed = sorted(lists[outcome["row"]], reverse=outcome["row"] % 2 == 0)
        assert outcome["above"] == listed.index(outcome["row"])
        assert outcome["tied"] == 0
        assert [outcome[f"answer_{place}"] for place in (1, 2, 3)] == listed[:3]


def test_values_are_those_of_the_outcomes(read: Callable, synthetic_store: CohortStore) -> None:
    made = _evaluate(read(RETRIEVALS[0]), synthetic_store, predictor=_Fixed())
    for result in made.results:
        above = made.outcomes[result.missingness]["above"]
        expected = {
            "recall_at_1": (above == 0).mean(),
            "recall_at_5": (above < 5).mean(),
            "mean_reciprocal_rank": (1 / (above + 1)).mean(),
        }
        assert result.value == pytest.approx(expected[result.metric])


def test_samples_whose_outcome_is_unknown_are_left_out(
    read: Callable, synthetic_store: CohortStore
) -> None:
    table = synthetic_store.samples.copy()
    some = synthetic_store.rows("held_out")[::4]
    table.loc[some, "outcome_deterioration"] = np.nan
    made = _evaluate(read(DETERIORATION), replace(synthetic_store, samples=table))
    assert not set(made.outcomes["complete"]["row"]) & set(some)


def test_a_pattern_that_cannot_be_scored_is_recorded_with_its_reason(
    read: Callable, synthetic_store: CohortStore
) -> None:
    table = synthetic_store.samples.copy()
    table["outcome_deterioration"] = 0.0
    task = read(DETERIORATION)
    made = _evaluate(task, replace(synthetic_store, samples=table))
    assert made.results == []
    assert [row.missingness for row in made.unscored] == list(task.missingness)
    assert all("no model can be fitted to the labels" in row.reason for row in made.unscored)


def test_a_pattern_without_samples_does_not_take_the_others_with_it(
    read: Callable, synthetic_store: CohortStore
) -> None:
    present = synthetic_store.present.copy()
    held_out = synthetic_store.rows("held_out")
    present[held_out[::2], 1], present[held_out[1::2], 2] = False, False
    made = _evaluate(read(RETRIEVALS[0]), replace(synthetic_store, present=present))
    assert {row.missingness for row in made.results} == {"observed"}
    assert "complete" in {row.missingness for row in made.unscored}
    assert all("no sample of the split has" in row.reason for row in made.unscored)


def test_a_model_that_diverged_is_recorded_as_such(
    read: Callable, synthetic_store: CohortStore
) -> None:
    predictor = _constant(synthetic_store)
    z = torch.full_like(predictor.embeddings.z, torch.nan)
    predictor = replace(predictor, embeddings=replace(predictor.embeddings, z=z))
    made = _evaluate(read(RETRIEVALS[0]), synthetic_store, predictor=predictor)
    assert made.results == []
    assert all("NaN score" in row.reason for row in made.unscored)


def test_a_task_that_does_not_apply_is_refused_with_everything_that_is_missing(
    read: Callable, synthetic_store: CohortStore
) -> None:
    task = read("classification/cardiomegaly", 'inputs=["cxr", "echo"]', 'missingness=["complete"]')
    with pytest.raises(DefinitionError) as caught:
        _evaluate(task, synthetic_store)
    assert "not applicable to cohort 'synthetic': it has no modality 'echo'" in str(caught.value)
    assert "it codes no outcome 'cardiomegaly'; it has deterioration" in str(caught.value)


def test_a_pattern_that_means_nothing_for_the_task_is_refused(
    read: Callable, synthetic_store: CohortStore
) -> None:
    with pytest.raises(DefinitionError, match="'cxr' is not among the modalities ecg, labs"):
        _evaluate(read(RETRIEVALS[0]), synthetic_store, missingness=("without-cxr",))


def test_the_digest_is_of_the_task_the_store_and_the_lists(
    read: Callable, synthetic_store: CohortStore
) -> None:
    task, complete = read(RETRIEVALS[0]), parse_pattern("complete")
    lists = pd.DataFrame({"query": [0, 0], "candidate": [0, 1]})
    manifest = synthetic_store.manifest
    made = [
        result_fingerprints(task, synthetic_store, lists)(complete),
        result_fingerprints(read(RETRIEVALS[0], "seed=1"), synthetic_store, lists)(complete),
        result_fingerprints(read(RETRIEVALS[0], "interval=percentile"), synthetic_store, lists)(
            complete
        ),
        result_fingerprints(task, synthetic_store, lists.assign(candidate=[0, 2]))(complete),
        *(
            result_fingerprints(
                task, replace(synthetic_store, manifest={**manifest, key: "another"}), lists
            )(complete)
            for key in ("digest", "cohort_digest")
        ),
    ]
    assert len(set(made)) == len(made)
    again = read(RETRIEVALS[0], 'description="In other words."')
    assert result_fingerprints(again, synthetic_store, lists.copy())(complete) == made[0]


@pytest.mark.parametrize("pattern", ["mask-ours", "site-clinic"])
def test_editing_a_table_that_a_pattern_reads_changes_its_mask_and_digest_and_no_others(
    pattern: str, read: Callable, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    store, held_out = replace(synthetic_store, path=tmp_path), synthetic_store.rows("held_out")
    task = read(RETRIEVALS[0])
    assert isinstance(task, Retrieval)
    assert pattern not in task.missingness
    asked, whole = (expected_fingerprints(task, store)(name) for name in (pattern, "complete"))
    found, masks = [asked], []
    for shown in ((1, 0), (0, 1)):
        table = pd.DataFrame({"sample": store.samples["sample"].iloc[held_out], "count": 1})
        table[["ecg", "labs"]] = shown
        mechanism, _, name = pattern.partition("-")
        (tmp_path / f"{mechanism}s").mkdir(exist_ok=True)
        table.to_csv(tmp_path / f"{mechanism}s" / f"{name}.csv", index=False)
        made = _evaluate(task, store, missingness=("complete", pattern))
        of_whole, ours = (
            next(row for row in made.results if row.missingness == name)
            for name in ("complete", pattern)
        )
        assert of_whole.digest == whole
        assert ours.digest == expected_fingerprints(task, store)(pattern)
        assert ours.hidden == {"ecg": 1.0 - shown[0], "labs": 1.0 - shown[1]}
        found.append(ours.digest)
        masks.append(ours.mask)
    assert len(set(found)) == 3
    assert len(set(masks)) == 2


def test_a_table_of_other_modalities_is_unscored_with_its_reason_beside_the_other_patterns(
    read: Callable, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    store, held_out = replace(synthetic_store, path=tmp_path), synthetic_store.rows("held_out")
    table = pd.DataFrame({"sample": store.samples["sample"].iloc[held_out], "cxr": 1, "labs": 1})
    (tmp_path / "masks").mkdir()
    table.to_csv(tmp_path / "masks" / "ours.csv", index=False)
    made = _evaluate(read(RETRIEVALS[0]), store, missingness=("mask-ours", "complete"))
    (unscored,) = made.unscored
    assert "'mask-ours': masks/ours.csv has no column ecg, which this task needs" in unscored.reason
    assert {row.missingness for row in made.results} == {"complete"}


def test_a_result_says_how_much_was_hidden_and_by_which_mask(
    read: Callable, synthetic_store: CohortStore
) -> None:
    task = read(RETRIEVALS[0], 'metrics=["recall_at_1"]')
    patterns = ("complete", "without-ecg", "mcar-30", "labs-mcar-50")
    made = {
        row.missingness: row
        for row in _evaluate(task, synthetic_store, missingness=patterns).results
    }
    assert made["complete"].hidden == {"ecg": 0.0, "labs": 0.0}
    assert made["without-ecg"].hidden == {"ecg": 1.0, "labs": 0.0}
    mask = draw_mask(
        parse_pattern("mcar-30"), synthetic_store, split=task.split, modalities=task.query, seed=0
    )
    assert made["mcar-30"].mask == mask.digest
    # Of those that were scored: a sample without the target is no query.
    target = synthetic_store.present[:, synthetic_store.modalities.index(task.target)]
    scored = target[mask.rows]
    assert not scored.all()
    for column, name in enumerate(task.query):
        gone = sum(not available for available in mask.available[scored, column])
        assert made["mcar-30"].hidden[name] == pytest.approx(gone / sum(scored))
    assert len({row.mask for row in made.values()}) == 3


def test_each_metric_has_the_interval_that_holds_or_the_one_that_the_task_names(
    read: Callable, synthetic_store: CohortStore
) -> None:
    metrics = 'metrics=["auroc", "auprc", "brier"]'
    predictor = _random(synthetic_store)
    for asked, expected in (
        ([], {"auroc": "score", "auprc": "percentile", "brier": "Wilson"}),
        (["interval=bca"], dict.fromkeys(("auroc", "auprc", "brier"), "bca")),
        (["interval=percentile"], dict.fromkeys(("auroc", "auprc", "brier"), "percentile")),
    ):
        task = read(DETERIORATION, metrics, *asked)
        made = _evaluate(task, synthetic_store, predictor=predictor, missingness=("complete",))
        assert {row.metric: row.interval for row in made.results} == expected


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (RETRIEVALS[0], ("candidates=10",)),
        (RETRIEVALS[1], ('candidates="all"',)),
        (DETERIORATION, ()),
        *(
            pytest.param(name, (f"candidates={candidates}",), marks=pytest.mark.slow)
            for name in RETRIEVALS
            for candidates in ("10", '"all"')
        ),
    ],
)
def test_patterns_that_are_asked_together_answer_as_each_does_alone(
    name: str, asked: tuple[str, ...], read: Callable, synthetic_store: CohortStore
) -> None:
    task = read(name, *asked)
    inputs = task.query if isinstance(task, Retrieval) else task.inputs
    patterns = expand(["observed", "grid"], inputs)
    predictor = _random(synthetic_store)
    together = _evaluate(task, synthetic_store, predictor=predictor, missingness=patterns)
    for pattern in patterns:
        alone = _evaluate(task, synthetic_store, predictor=predictor, missingness=(pattern,))
        found = [row for row in together.results if row.missingness == pattern]
        assert found == alone.results
        assert together.outcomes[pattern].equals(alone.outcomes[pattern])


def test_a_query_is_scored_once_for_each_set_of_modalities(
    read: Callable, synthetic_store: CohortStore
) -> None:
    task = read(RETRIEVALS[0])
    predictor = _Counting(_random(synthetic_store))
    patterns = expand(["grid"], task.query)
    made = _evaluate(task, synthetic_store, predictor=predictor, missingness=patterns)
    assert len(patterns) == 10
    assert len(predictor.scored) == len(set(predictor.scored)) == 3 * len(made.outcomes["complete"])


def test_evaluating_again_gives_the_same_numbers(
    read: Callable, synthetic_store: CohortStore
) -> None:
    for name in (RETRIEVALS[0], DETERIORATION):
        first, second = [
            _evaluate(read(name), synthetic_store, missingness=("mcar-30",)) for _ in range(2)
        ]
        assert first.results == second.results


def test_every_retrieval_metric_can_be_asked_for(
    read: Callable, synthetic_store: CohortStore
) -> None:
    names = [name for name in RETRIEVAL_METRICS if name not in ("auc_over_scores",)]
    for candidates in ("5", '"all"'):
        for metrics in (names, list(RETRIEVAL_METRICS)):
            task = read(RETRIEVALS[0], f"candidates={candidates}", f"metrics={metrics}")
            made = _evaluate(task, synthetic_store, missingness=("complete",))
            assert [row.metric for row in made.results] == metrics
            assert ("separation" in made.outcomes["complete"]) == ("auc_over_scores" in metrics)


def test_several_outcomes_are_scored_together_and_each_for_itself(
    read: Callable, synthetic_store: CohortStore
) -> None:
    task = read("classification/more/xray_findings")
    made = _evaluate(task, synthetic_store, missingness=("observed",))
    assert made.unscored == []
    values = {row.metric: row for row in made.results}
    own = [values[f"auroc/{finding}"].value for finding in task.outcome]
    assert values["auroc"].value == pytest.approx(np.mean(own), abs=1e-12)
    outcome = made.outcomes["observed"]
    assert set(outcome["part"]) == set(task.outcome)
    assert values["auroc"].n_samples == len(set(outcome["row"])) == len(outcome) / 3
    assert not np.isnan(synthetic_store.outcome("lung_mass")[outcome["row"]]).any()


def test_draws_of_few_labels_are_scored_together(
    read: Callable, synthetic_store: CohortStore, generator: torch.Generator
) -> None:
    task = read("classification/more/deterioration_from_10_percent")
    predictor = _constant(synthetic_store)
    z = torch.randn(predictor.embeddings.z.shape, generator=generator)
    predictor = replace(predictor, embeddings=replace(predictor.embeddings, z=z))
    made = _evaluate(task, synthetic_store, predictor=predictor, missingness=("complete",))
    assert [row.metric for row in made.results] == list(task.metrics)
    drawn = made.outcomes["complete"].groupby("part")["probability"].agg(list)
    assert len(drawn) == len(task.label_seeds)
    assert len({tuple(p) for p in drawn}) > 1


def test_what_needs_encoders_is_not_scored_without(
    read: Callable, synthetic_store: CohortStore
) -> None:
    task = read("classification/more/deterioration_by_finetuning")
    made = _evaluate(task, synthetic_store, missingness=("complete",))
    assert [row.reason for row in made.unscored] == [
        "fine-tuning needs the encoders; only the embeddings of this model are known."
    ]


@pytest.mark.parametrize("name", ["labs-mcar-50", "ecg-leads-mcar-60", "ecg-noise-0db"])
def test_parts_are_hidden_from_queries_and_probes_but_not_from_candidates(
    name: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    learner = build_learner(tiny(catalog, "pretraining/symile"), synthetic_store, seed=0).eval()
    rows = np.arange(len(synthetic_store.samples))
    predictor = EmbeddingPredictor(
        embed_rows(learner.model, synthetic_store, rows),
        learner.objective,
        synthetic_store,
        Encoders(learner, synthetic_store),
    )
    pattern = parse_pattern(name)
    hiding = hide_parts_from(predictor, pattern, seed=0)
    assert isinstance(hiding, EmbeddingPredictor)
    assert hide_parts_from(predictor, pattern, seed=0) is hiding  # encoded once for all tasks
    assert hide_parts_from(predictor, pattern, seed=1) is not hiding
    labs = synthetic_store.modalities.index(pattern.within)
    others = [place for place in range(3) if place != labs]
    assert torch.equal(hiding.embeddings.z[:, others], predictor.embeddings.z[:, others])
    there = torch.from_numpy(synthetic_store.present[:, labs].copy())
    assert (hiding.embeddings.z[there, labs] != predictor.embeddings.z[there, labs]).any()
    # The whole store encoded with the same parts hidden gives the same vectors.
    again = embed_rows(learner.model, hiding.store, rows)
    torch.testing.assert_close(again.z, hiding.embeddings.z)
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    kind = {"store": synthetic_store, "run": "r", "seed": 0}
    made = evaluate(task, predictor, **kind, missingness=["complete", name])
    assert {row.missingness for row in made.results} == {"complete", name}
    assert {row.mask for row in made.results if row.missingness == name} == {
        draw_parts(pattern, synthetic_store, split=task.split, seed=task.seed).digest
    }
    whole, half = made.outcomes["complete"], made.outcomes[name]
    assert whole["row"].equals(half["row"])
    assert not whole["above"].equals(half["above"])
    without = replace(predictor, encoders=None)
    made = evaluate(task, without, **kind, missingness=[name])
    assert not made.results
    assert "only a run with its encoders can be evaluated" in made.unscored[0].reason
