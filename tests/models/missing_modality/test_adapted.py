"""Adapters of sets: what they keep, what they change, and how often samples are encoded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import SetEncodings
from clinical_symile.data.loader import Batch, load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.missingness.patterns import expand, parse_pattern
from clinical_symile.models.encoders.image import SmallCnn, resnet50
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.encoders.waveform import ResNet1d
from clinical_symile.models.missing_modality.adapted import AdaptersOfSets
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.clip import Clip
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import Learner, build_learner, load_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

ROOT = Path(__file__).resolve().parents[3]
MODALITIES, DIM = ("cxr", "ecg", "labs"), 6
WAYS = ("adapted", "adapted_lora")
SETS = torch.tensor(
    [[1, 1, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]],
    dtype=torch.bool,
)


def model_of(way: str) -> MultimodalEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = {
            name: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, DIM))
            for name in MODALITIES
        }
        return MultimodalEncoder(encoders, dim=DIM, norm="l2", missing_modality=way)


def moved(model: MultimodalEncoder) -> MultimodalEncoder:
    """The same model with adapters that are no identity any more."""
    drawn = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.missing_modality.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=drawn)
    return model


def batch_of(available: Tensor = SETS) -> Batch:
    drawn = torch.randn(len(available), 3, 4, generator=torch.Generator().manual_seed(1))
    columns = {name: drawn[:, column] for column, name in enumerate(MODALITIES)}
    return Batch(columns, available, MODALITIES, torch.arange(len(available)))


@pytest.mark.parametrize("way", WAYS)
def test_every_set_begins_as_the_frozen_model(way: str):
    plain, adapted = model_of("drop").train(), model_of(way).train()
    for available in SETS:
        batch = batch_of(available.expand(5, -1))
        assert torch.equal(adapted(batch).z, plain(batch).z)
    torch.testing.assert_close(adapted(batch_of()).z, plain(batch_of()).z)
    handler = adapted.missing_modality
    assert isinstance(handler, AdaptersOfSets)
    assert [handler.has_moved(code) for code in range(1, 8)] == [False] * 6 + [True]
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in adapted.named_parameters() if "missing_mod" in name}


@pytest.mark.parametrize("way", WAYS)
def test_a_mixed_batch_is_encoded_as_its_sets_alone(way: str):
    model = moved(model_of(way)).eval()
    mixed = model(batch_of())
    plain = model_of("drop").eval()(batch_of()).z
    torch.testing.assert_close(mixed.z[0], plain[0])  # the whole set
    assert not torch.isclose(mixed.z, plain)[1:][SETS[1:]].any(dim=1).all()
    every = batch_of(torch.ones_like(SETS))
    for row, visible in enumerate(SETS):
        alone = model(every, visible)  # hidden in all samples before they are encoded
        torch.testing.assert_close(alone.z[row], mixed.z[row])
        filled, of_mixed = alone.with_substitutes()[0], mixed.with_substitutes()[0]
        torch.testing.assert_close(filled[row], of_mixed[row])


@pytest.mark.parametrize("way", WAYS)
def test_chunks_give_the_gradients_of_the_whole_batch(way: str):
    gradients = []
    for at_a_time in (None, 2):
        model = moved(model_of(way)).train()
        model.encode_at_a_time = at_a_time
        batch = batch_of(SETS.repeat(3, 1))
        z = model(batch).with_substitutes()[0]
        (torch.linspace(-1, 1, z.numel()).reshape(z.shape) * z).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) == sum(1 for _ in model_of(way).missing_modality.parameters())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


# In percent of an encoder's weights, for one set, as docs/explanation/missingness.md has them.
SHARES = {
    ("resnet50", "adapted"): 0.45,
    ("resnet50", "adapted_lora"): 0.34,
    ("small_cnn", "adapted"): 1.62,
    ("small_cnn", "adapted_lora"): 0.90,
    ("resnet1d", "adapted"): 1.40,
    ("resnet1d", "adapted_lora"): 0.94,
    ("mlp", "adapted"): 0.70,
    ("mlp", "adapted_lora"): 0.69,
}


@pytest.mark.parametrize(("name", "way"), SHARES)
def test_a_set_trains_few_weights_of_an_encoder(name: str, way: str):
    width = 128
    with torch.device("meta"):
        encoders = {
            "resnet50": resnet50((1, 320, 320), width),
            "small_cnn": SmallCnn((1, 64, 64), width),
            "resnet1d": ResNet1d((12, 5000), width),
            "mlp": Mlp((2, 50), width, hidden=[256, 1024]),
        }
        encoder = encoders[name]
        handler: Any = missing_modality_method(way).handler(2, width)
        handler.connect({"first": encoder, "second": nn.Linear(2, width)})
    own = sum(parameter.numel() for parameter in encoder.parameters())
    share = 100 * handler.parameters_of_set(1) / own
    if name == "resnet50":
        assert share < 1
    assert share == pytest.approx(SHARES[name, way], abs=0.005)
    page = (ROOT / "docs" / "explanation" / "missingness.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}`"))
    assert f" {SHARES[name, way]:.2f} |" in row


def start(catalog: Catalog, store: CohortStore, folder: Path, *overrides: str) -> Run:
    task = mlp_task(catalog, "epochs=1", *overrides)
    return train(task, store=store, run=Run(folder / "start"), seed=0, accelerator="cpu")


def adapted_run(
    catalog: Catalog, store: CohortStore, folder: Path, *overrides: str, way: str = "adapted"
) -> tuple[Pretraining, Run]:
    begun = start(catalog, store, folder)
    task = mlp_task(catalog, f"missing_modality={way}", f"start={begun.path}", *overrides)
    run = train(task, store=store, run=Run(folder / way), seed=0, accelerator="cpu")
    return task, run


@pytest.mark.parametrize("way", WAYS)
def test_training_moves_adapters_alone_and_complete_samples_are_encoded_as_before(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, way: str
):
    task, run = adapted_run(catalog, synthetic_store, tmp_path, "epochs=2", way=way)
    after = load_learner(run, task, synthetic_store)
    before = load_learner(
        Run(tmp_path / "start"), mlp_task(catalog, "epochs=1"), synthetic_store
    ).state_dict()
    for name, value in after.state_dict().items():
        if "missing_modality" not in name:
            assert torch.equal(value, before[name]), name
    rows = synthetic_store.complete_rows("held_out", MODALITIES)
    first = load_learner(Run(tmp_path / "start"), mlp_task(catalog), synthetic_store).model
    whole = embed_rows(after.model, synthetic_store, rows)
    assert torch.equal(whole.z, embed_rows(first, synthetic_store, rows).z)
    handler = after.model.missing_modality
    assert isinstance(handler, AdaptersOfSets)
    assert all(handler.has_moved(code) for code in range(1, 8))
    assert run.metadata["start"]["new"] == ["missing_modality"]
    # The epoch is selected by incomplete samples: complete ones are the same after each.
    assert len({epoch["tuning/mean_reciprocal_rank"] for epoch in run.history}) == 2


def predictor_of(learner: Learner, store: CohortStore) -> EmbeddingPredictor:
    embeddings = embed_rows(learner.model, store, np.arange(len(store.samples)))
    return EmbeddingPredictor(
        embeddings, learner.objective, store, encoders=Encoders(learner, store)
    )


def test_a_set_that_training_never_met_is_refused_by_name(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task, run = adapted_run(
        catalog,
        synthetic_store,
        tmp_path,
        "missingness=without-labs",
        "modality_dropout.rate=0.0",
        'selection.targets=["cxr", "ecg"]',
    )
    learner = load_learner(run, task, synthetic_store)
    retrieval = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(retrieval, Retrieval)
    made = evaluate(
        retrieval,
        predictor_of(learner, synthetic_store),
        store=synthetic_store,
        run="a",
        seed=0,
        missingness=("complete", "without-labs", "without-ecg"),
    )
    assert {result.missingness for result in made.results} == {"complete", "without-labs"}
    (refused,) = made.unscored
    assert (refused.missingness, refused.code) == ("without-ecg", "CS-S019")
    assert "no sample that has exactly cxr and labs" in refused.reason


@pytest.mark.parametrize("way", WAYS)
def test_a_sample_with_one_modality_is_never_a_positive_of_a_contrastive_loss(way: str):
    embeddings = moved(model_of(way)).train()(batch_of())
    alone = SETS.sum(dim=1) == 1
    for column, target in enumerate(MODALITIES):
        filled = embeddings.filled_for(target)
        others = torch.arange(len(MODALITIES)) != column
        matched = filled.available[:, column] & filled.available[:, others].any(dim=1)
        assert not matched[alone].any()
        assert matched[SETS[:, column] & (SETS.sum(dim=1) > 1)].all()


@pytest.mark.parametrize(
    ("objective", "probe", "refused"),
    [
        ("pretraining/symile", "classification/deterioration", True),
        ("pretraining/clip", "classification/deterioration", True),
        (
            "pretraining/objectives/outcome_gated",
            "classification/more/deterioration_by_head",
            False,
        ),
    ],
)
def test_a_set_of_one_modality_counts_as_trained_where_the_objective_learns_from_it(
    catalog: Catalog, synthetic_store: CohortStore, objective: str, probe: str, refused: bool
):
    task = mlp_task(catalog, "missing_modality=adapted", task=objective)
    learner = build_learner(task, synthetic_store, seed=0)
    handler = moved(learner.model).eval().missing_modality
    assert isinstance(handler, AdaptersOfSets)
    assert all(handler.has_moved(code) for code in range(1, 8))  # as negatives move them too
    evaluated: Any = read_task(catalog, probe)
    made = evaluate(
        evaluated,
        predictor_of(learner, synthetic_store),
        store=synthetic_store,
        run="a",
        seed=0,
        missingness=("only-ecg", "only-cxr-ecg"),
    )
    assert {one.missingness for one in made.results} == {"only-cxr-ecg"} | (
        set() if refused else {"only-ecg"}
    )
    assert [(one.missingness, one.code) for one in made.unscored] == [
        ("only-ecg", "CS-S019")
    ] * refused


@pytest.mark.parametrize("way", ["learned", *WAYS])
def test_evaluation_encodes_once_for_each_set_that_occurs_and_other_ways_once(
    catalog: Catalog, synthetic_store: CohortStore, way: str
):
    """The encodings of modalities, of which one of all samples has one for each that is there."""
    task = mlp_task(catalog, f"missing_modality={way}")
    learner = build_learner(task, synthetic_store, seed=0)
    moved(learner.model)
    encoded = [0]
    for encoder in learner.model.encoders.values():
        encoder.register_forward_hook(
            lambda module, inputs, z: encoded.__setitem__(0, encoded[0] + len(z))
        )
    predictor = predictor_of(learner, synthetic_store)
    one = int(synthetic_store.present.sum())
    assert encoded == [one]
    for name in ("retrieval/cxr_given_ecg_labs", "classification/deterioration"):
        evaluated: Any = read_task(catalog, name)
        patterns = expand(["grid"], evaluated.input_modalities)
        patterns = [p for p in patterns if "site" not in p]
        evaluate(evaluated, predictor, store=synthetic_store, run="a", seed=0, missingness=patterns)
    sets = 2**3 - 1
    if way == "learned":
        assert encoded == [one]
    else:
        # A set of two modalities takes less than an encoding of all three.
        assert one < encoded[0] <= 1.5 * sets * one
        assert encoded[0] <= 5 * one


def test_a_query_and_its_candidates_are_encoded_as_samples_with_the_querys_modalities(
    catalog: Catalog, synthetic_store: CohortStore
):
    learner = build_learner(
        mlp_task(catalog, "missing_modality=adapted", task="pretraining/clip"),
        synthetic_store,
        seed=0,
    )
    model = moved(learner.model).eval()
    predictor = predictor_of(learner, synthetic_store)
    retrieval = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(retrieval, Retrieval)
    for name, visible in (("without-labs", [True, True, False]), ("complete", [True] * 3)):
        request = draw_request(retrieval, synthetic_store, parse_pattern(name)).take(slice(0, 5))
        candidates = synthetic_store.complete_rows("held_out", MODALITIES)[:7]
        found = predictor.score_shared(request, candidates)
        shown = torch.tensor(visible)
        with torch.inference_mode():
            queries, others = (
                model(load_batch(synthetic_store, rows, modalities=MODALITIES), shown)
                for rows in (request.rows, candidates)
            )
            target = torch.ones(3, dtype=torch.bool)
            target[0] = False
            objective = learner.objective
            assert isinstance(objective, Clip)
            expected = objective.score(
                queries.with_visible(target.expand(5, -1)), others.z[:, 0], target="cxr"
            )
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_vectors_of_a_set_follow_the_order_of_samples():
    calls = list[int]()

    def encode(code: int) -> Tensor:
        calls.append(code)
        return torch.full((4, 2, 1), float(code)) + torch.arange(4.0)[:, None, None] / 10

    sets = SetEncodings(encode, torch.tensor([3, 1, 0]))
    available = torch.tensor([[True, True], [True, False], [True, True]])
    found = sets.vectors(available)[..., 0]
    torch.testing.assert_close(found, torch.tensor([[3.3, 3.3], [1.1, 0.0], [3.0, 3.0]]))
    assert calls == [1, 3]
    none = replace(sets, index=sets.index[:0])
    assert none.vectors(available[:0]).shape == (0, 2, 1)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (("encoders.cxr.frozen=true",), r"'adapted': encoders\.cxr is frozen or has an adapter"),
        (('encoders.ecg.adapter="lora"',), r"encoders\.ecg is frozen or has an adapter"),
        (("compile=true",), "a compiled encoder does not see"),
    ],
)
def test_what_the_way_cannot_adapt_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, overrides: tuple[str, ...], match: str
):
    task = mlp_task(catalog, "missing_modality=adapted", *overrides)
    with pytest.raises(DefinitionError, match=match):
        build_learner(task, synthetic_store, seed=0)


def test_a_task_without_a_run_or_with_another_objective_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = mlp_task(catalog, "missing_modality=adapted")
    with pytest.raises(DefinitionError, match="the task names no run that they are from") as found:
        train(task, store=synthetic_store, run=Run(tmp_path / "a"), seed=0, accelerator="cpu")
    assert found.value.problems[0].code == "CS-F031"
    begun = start(catalog, synthetic_store, tmp_path)
    other = mlp_task(
        catalog,
        "missing_modality=adapted",
        "norm=l2",
        f"start={begun.path}",
        task="pretraining/objectives/outcome_gated",
    )
    with pytest.raises(DefinitionError, match="no parameters of the objective 'outcome'"):
        train(other, store=synthetic_store, run=Run(tmp_path / "b"), seed=0, accelerator="cpu")


def test_a_balance_of_encoders_that_are_not_trained_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    with pytest.raises(DefinitionError, match="encoders, and none of these is trained"):
        adapted_run(catalog, synthetic_store, tmp_path, 'balance={name="mgda"}')
