"""Attention over the tokens of all modalities at once, kept as a summary of each of them."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch, load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.sets import AnalyteSet
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.kept_tokens import KeptTokens
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.tokens import token_encoder
from clinical_symile.objectives.fusion.sets import TokenSetFusion
from clinical_symile.objectives.token_attention import TokenQueries
from clinical_symile.registry.families import MISSING_MODALITY_METHODS
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import mlp_task, tiny

MODALITIES, DIM, ANALYTES = ("cxr", "ecg", "labs"), 4, 5
QUERIES = TokenQueries(3, 6)
SETS = torch.tensor([*product((False, True), repeat=3)][1:])
TASK = "pretraining/objectives/outcome"
SETS_OF_TOKENS = 'objective.fusion={name="sets", queries=2, width=8}'
LABS = 'encoders.labs={name="sets", width=8, heads=2}'
# By sample; the last has no measured analyte.
MEASURED = torch.tensor(
    [
        [1, 1, 1, 1, 1],
        [1, 0, 1, 0, 1],
        [0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 1, 1],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)


def encoders(analytes: int = ANALYTES) -> dict[str, nn.Module]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "cxr": Mlp((1, 4), DIM, hidden=[3]),
            "ecg": Mlp((2, 3), DIM, hidden=[3]),
            "labs": AnalyteSet((2, analytes), DIM, width=8, layers=1, heads=2),
        }


def model_of(towers: Mapping[str, nn.Module], queries: TokenQueries = QUERIES) -> MultimodalEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MultimodalEncoder(
            towers, dim=DIM, norm="l2", missing_modality="drop", token_queries=queries
        )


@pytest.fixture
def model() -> MultimodalEncoder:
    return model_of(encoders()).double()


@pytest.fixture
def batch(generator: torch.Generator) -> Batch:
    def draw(*shape: int) -> Tensor:
        return torch.rand(len(SETS), *shape, generator=generator, dtype=torch.float64)

    labs = torch.stack([draw(ANALYTES), MEASURED.double()], dim=1)
    inputs = {"cxr": draw(1, 4), "ecg": draw(2, 3), "labs": labs}
    return Batch(inputs, torch.ones_like(SETS), MODALITIES, torch.arange(len(SETS)))


def fusion(modalities: tuple[str, ...] = MODALITIES) -> TokenSetFusion:
    generator = torch.Generator().manual_seed(0)
    return TokenSetFusion(modalities, DIM, generator, queries=3, width=6).double()


def attended(embeddings: Embeddings) -> Tensor:
    return fusion().attended(embeddings.readable, embeddings.available)


def handler_of(model: MultimodalEncoder) -> Any:
    assert isinstance(model.missing_modality, KeptTokens)
    return model.missing_modality


def test_attention_is_that_over_the_tokens_of_all_modalities_in_loops(
    model: MultimodalEncoder, batch: Batch
):
    found, handler = attended(model(batch).with_visible(SETS)), handler_of(model)
    for i, there in enumerate(SETS):
        keys, values = list[Tensor](), list[Tensor]()
        for m, name in enumerate(MODALITIES):
            if not there[m]:
                continue
            tokens = token_encoder(model.encoders[name], name=name).tokens(batch.inputs[name])[i]
            key, value = (part[0] for part in handler.readers[m](tokens[None]))
            for n in range(len(tokens)):
                # The first token of labs is the learned one; the others are analytes.
                if name != "labs" or n == 0 or MEASURED[i, n - 1]:
                    keys.append(key[n])
                    values.append(value[n])
        for q in range(QUERIES.number):
            query = handler.queries[q] / math.sqrt(QUERIES.width)
            scores = [math.exp((query @ key).item()) for key in keys]
            pairs = zip(scores, values, strict=True)
            expected = torch.stack([score / sum(scores) * value for score, value in pairs]).sum(0)
            torch.testing.assert_close(found[i, q], expected)


class _Given(nn.Module):
    """Its inputs are its tokens, of one number each."""

    def __init__(self, count: int):
        super().__init__()
        self.token_shape = (count, 1)

    def tokens(self, inputs: Tensor) -> Tensor:
        return inputs[:, :, None]

    def from_tokens(self, tokens: Tensor) -> Tensor:
        return tokens[:, :1, 0].expand(-1, DIM)


@pytest.mark.parametrize(
    ("labs", "available", "mean"),
    [
        ([8.0], [True, True, True], 4.0),
        ([8.0], [True, False, True], 4.5),
        ([8.0, 10.0], [True, True, True], 5.5),  # each token counts, not each modality
        ([8.0, 10.0], [False, True, True], 7.0),
    ],
)
def test_queries_of_zeros_find_the_mean_of_all_values(
    labs: list[float], available: list[bool], mean: float
):
    towers = {"cxr": _Given(1), "ecg": _Given(1), "labs": _Given(len(labs))}
    made = model_of(towers, TokenQueries(1, 2))
    handler = handler_of(made)
    with torch.no_grad():
        handler.queries.zero_()
        for reader in handler.readers:  # the value of a token t is (t, 2t)
            reader.norm = nn.Identity()
            reader.project.weight.copy_(torch.tensor([[1.0], [2.0]]))
            reader.values.weight.copy_(torch.eye(2))
            for zeros in (reader.project.bias, reader.positions):
                zeros.zero_()
    inputs = {"cxr": [[1.0]], "ecg": [[3.0]], "labs": [labs]}
    tensors = {name: torch.tensor(values) for name, values in inputs.items()}
    embeddings = made.eval()(Batch(tensors, torch.tensor([available]), MODALITIES, torch.arange(1)))
    reads = TokenSetFusion(MODALITIES, DIM, torch.Generator(), queries=1, width=2)
    found = reads.attended(embeddings.readable, embeddings.available)
    torch.testing.assert_close(found, torch.tensor([[[mean, 2 * mean]]]))


def test_the_order_of_analytes_changes_nothing(model: MultimodalEncoder, batch: Batch):
    before, order = model(batch), torch.tensor([3, 0, 4, 1, 2])
    labs: Any = model.encoders["labs"]
    with torch.no_grad():
        labs.analytes.copy_(labs.analytes[order].clone())
    inputs = {**batch.inputs, "labs": batch.inputs["labs"][:, :, order]}
    after = model(replace(batch, inputs=inputs))
    torch.testing.assert_close(after.readable, before.readable)


def test_the_order_of_the_tokens_of_a_set_changes_nothing(
    model: MultimodalEncoder, batch: Batch, generator: torch.Generator
):
    """Analytes are a set; places of an image are not, and have positions."""
    handler, column = handler_of(model), MODALITIES.index("labs")
    labs = cast(AnalyteSet, model.encoders["labs"])
    tokens = labs.tokens(batch.inputs["labs"])
    order = torch.randperm(tokens.shape[1], generator=generator)

    def summary(tokens: Tensor) -> Tensor:
        return handler.summarize(tokens, column=column, exists=labs.exists(tokens))

    torch.testing.assert_close(summary(tokens[:, order]), summary(tokens))
    assert [reader.positions is None for reader in handler.readers] == [False, False, True]


def test_summaries_keep_32_bits_where_encoders_compute_in_16(
    model: MultimodalEncoder, batch: Batch
):
    model = model.float()
    inputs = {name: values.float() for name, values in batch.inputs.items()}
    with torch.autocast("cpu", torch.bfloat16):
        found = model(replace(batch, inputs=inputs)).summary
    assert found is not None
    _, normalizers = QUERIES.unpack(found)
    assert normalizers.dtype == torch.float32
    assert (normalizers != normalizers.bfloat16()).any()
    whole = model(replace(batch, inputs=inputs)).summary
    torch.testing.assert_close(found, whole, rtol=0.05, atol=0.05)


def test_an_analyte_that_is_not_measured_is_no_token(model: MultimodalEncoder, batch: Batch):
    before, labs = model(batch).readable, cast(AnalyteSet, model.encoders["labs"])
    for value in (math.nan, math.inf, 7.0):
        changed = batch.inputs["labs"].clone()
        changed[:, 0][MEASURED == 0] = value
        model.zero_grad()
        found = model(replace(batch, inputs={**batch.inputs, "labs": changed})).readable
        assert torch.equal(found, before)
        found[1].sum().backward()  # it has the first, the third and the fifth
        assert labs.analytes.grad is not None
        moved = (labs.analytes.grad != 0).any(dim=1).tolist()
        assert moved == [True, False, True, False, True]
    # A model that never knew the second and the fourth keeps the same of this sample.
    known = torch.tensor([0, 2, 4])
    fewer = model_of(encoders(3)).double()
    weights = model.state_dict()
    weights["encoders.labs.analytes"] = weights["encoders.labs.analytes"][known]
    fewer.load_state_dict(weights)
    inputs = {**batch.inputs, "labs": batch.inputs["labs"][:, :, known]}
    found = fewer(replace(batch, inputs=inputs)).readable[1]
    torch.testing.assert_close(found, before[1])


def test_labs_without_any_analyte_are_their_learned_token(model: MultimodalEncoder, batch: Batch):
    only_labs = torch.tensor([False, False, True]).expand(len(SETS), 3)
    found = attended(model(batch).with_visible(only_labs))[-1]
    labs: Any = model.encoders["labs"]
    reader = handler_of(model).readers[2]
    start = torch.zeros(1, ANALYTES + 1, 9, dtype=torch.float64)
    start[0, 0] = torch.cat([labs.start, torch.ones(1, dtype=torch.float64)])
    value = reader(start)[1][0, 0]
    torch.testing.assert_close(found, value.expand(QUERIES.number, -1))


def test_a_missing_modality_has_no_weight_and_no_gradient(model: MultimodalEncoder, batch: Batch):
    every = model(batch)
    inputs = {name: values.clone() for name, values in batch.inputs.items()}
    for column, name in enumerate(MODALITIES):
        inputs[name][~SETS[:, column]] = torch.nan
        inputs[name].requires_grad_()
    never = model(replace(batch, inputs=inputs, available=SETS))
    fused = fusion()(never.readable, SETS)
    torch.testing.assert_close(fused, fusion()(every.with_visible(SETS).readable, SETS))
    fused.square().sum().backward()
    for column, name in enumerate(MODALITIES):
        gradient = inputs[name].grad
        assert gradient is not None
        acts = SETS[:, column]
        if name == "labs":
            acts = acts & MEASURED.any(dim=1)
        assert torch.equal((gradient != 0).flatten(1).any(dim=1), acts)
    # A fusion that never had the modality finds the same.
    for left_out in range(3):
        kept = [column for column in range(3) if column != left_out]
        visible = torch.tensor([column in kept for column in range(3)])
        whole = attended(every.with_visible(visible.expand(len(SETS), 3)))
        fewer = fusion(tuple(MODALITIES[column] for column in kept))
        pair = every.select((kept[0], kept[1]))
        torch.testing.assert_close(fewer.attended(pair.readable, pair.available), whole)


@pytest.mark.slow
def test_training_finds_the_analyte_that_tells_the_label():
    drawn = torch.Generator().manual_seed(0)
    made, fused = model_of(encoders()), fusion().float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = nn.Linear(DIM, 1)
    parameters = [*made.parameters(), *fused.parameters(), *head.parameters()]
    adam = torch.optim.AdamW(parameters, lr=1e-2)

    def predicted(samples: int) -> tuple[Tensor, Tensor]:
        values = torch.rand(samples, ANALYTES, generator=drawn)
        measured = (torch.rand(samples, ANALYTES, generator=drawn) < 0.7).float()
        measured[:, 2] = 1
        inputs = {
            "cxr": torch.rand(samples, 1, 4, generator=drawn),
            "ecg": torch.rand(samples, 2, 3, generator=drawn),
            "labs": torch.stack([values, measured], dim=1),
        }
        available = torch.ones(samples, 3, dtype=torch.bool)
        embeddings = made(Batch(inputs, available, MODALITIES, torch.arange(samples)))
        log_odds = head(fused(embeddings.readable, available))[:, 0]
        return log_odds, (values[:, 2] > 0.5).float()

    for _ in range(240):
        loss = nn.functional.binary_cross_entropy_with_logits(*predicted(64))
        adam.zero_grad()
        loss.backward()
        adam.step()
    made.eval()
    with torch.no_grad():
        log_odds, labels = predicted(1000)
    assert ((log_odds > 0) == (labels == 1)).float().mean().item() > 0.9  # it was 0.5 at first


@pytest.mark.parametrize("way", sorted(MISSING_MODALITY_METHODS))
def test_tokens_are_kept_by_ways_that_leave_a_modality_out_and_others_are_refused(
    catalog: Catalog, synthetic_store: CohortStore, way: str
):
    task = mlp_task(catalog, SETS_OF_TOKENS, f"missing_modality={way}", task=TASK)
    if way in ("complete", "drop"):
        handler = handler_of(build_learner(task, synthetic_store, seed=0).model)
        assert handler.queries.shape == (2, 8)
        return
    said = (
        "its parts belong" if way == "subsets" else f"'{way}' with a fusion that reads tokens: it"
    )
    with pytest.raises(DefinitionError, match=said) as refused:
        build_learner(task, synthetic_store, seed=0)
    assert "[CS-F020]" in str(refused.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("encoders.ecg.frozen=true", "encoders.ecg is a FrozenEncoder, which gives no tokens"),
        ("compile=true", "the fusion changes or reads encoders' layers"),
    ],
)
def test_encoders_whose_tokens_cannot_be_read_are_refused(
    catalog: Catalog, synthetic_store: CohortStore, override: str, said: str
):
    task = tiny(catalog, TASK, SETS_OF_TOKENS, override)
    with pytest.raises(DefinitionError, match=said):
        build_learner(task, synthetic_store, seed=0)


def test_encoders_begin_as_with_any_other_fusion(catalog: Catalog, synthetic_store: CohortStore):
    first, second = (
        build_learner(
            mlp_task(catalog, LABS, *fused, task=TASK), synthetic_store, seed=0
        ).model.encoders.state_dict()
        for fused in ((), (SETS_OF_TOKENS,))
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_chunks_give_the_gradients_of_the_whole_batch(
    catalog: Catalog, synthetic_store: CohortStore
):
    gradients: list[dict[str, Any]] = []
    loaded = load_batch(synthetic_store, synthetic_store.rows("train")[:24], modalities=MODALITIES)
    for at_a_time in (None, 5):
        task = mlp_task(catalog, LABS, SETS_OF_TOKENS, task=TASK)
        learner = build_learner(task, synthetic_store, seed=0).double().train()
        learner.model.encode_at_a_time = at_a_time
        inputs = {name: values.double() for name, values in loaded.inputs.items()}
        embeddings = learner.model(replace(loaded, inputs=inputs))
        objective: Any = learner.objective
        objective.log_odds(embeddings).square().sum().backward()
        named = learner.named_parameters()
        gradients.append({n: p.grad for n, p in named if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_the_fusion_reads_the_summaries_of_what_is_available_beside_scaled_vectors(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, LABS, SETS_OF_TOKENS, task=TASK)
    learner = build_learner(task, synthetic_store, seed=0).eval()
    objective: Any = learner.objective
    batch = load_batch(synthetic_store, synthetic_store.rows("train")[:7], modalities=MODALITIES)
    embeddings = learner.model(replace(batch, available=batch.available | True)).detached()
    hidden = embeddings.with_visible(SETS)
    read = torch.cat([objective.input_scale * hidden.z, hidden.summary], dim=2)
    expected = objective.head(objective.fusion(read, SETS))
    torch.testing.assert_close(objective.log_odds(hidden), expected)
    assert hidden.summary is not None
    dirty = torch.where(SETS[:, :, None], hidden.summary, torch.nan)
    found = objective.log_odds(replace(hidden, summary=dirty))
    torch.testing.assert_close(found, expected)
    with pytest.raises(
        ValueError, match="reads tokens of encoders, and these embeddings have none"
    ):
        objective.log_odds(replace(hidden, summary=None))
    replaced = replace(hidden, substitute=torch.zeros(3, 8))
    with pytest.raises(ValueError, match="these embeddings have replacements without tokens"):
        objective.log_odds(replaced)
