from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.loader import Batch, load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.multimodal import MultimodalEncoder, build_model
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.symile import Symile
from tests.helpers.synthetic import tiny

MODALITIES = ("cxr", "ecg", "labs")


@pytest.fixture
def batch(synthetic_store: CohortStore) -> Batch:
    """Twelve samples, each modality absent for three of them."""
    rows = synthetic_store.rows("train")
    rows = rows[synthetic_store.present[rows].all(axis=1)][:12]
    visible = np.ones((12, 3), dtype=bool)
    for column in range(3):
        visible[3 * column : 3 * column + 3, column] = False
    return load_batch(synthetic_store, rows, modalities=MODALITIES, visible=visible)


def _filled(batch: Batch, value: float) -> Batch:
    """The batch with a value in all that is absent."""
    inputs = {}
    for column, name in enumerate(MODALITIES):
        inputs[name] = batch.inputs[name].clone()
        inputs[name][~batch.available[:, column]] = value
    return replace(batch, inputs=inputs)


def _learned(
    model: MultimodalEncoder, batch: Batch
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Embeddings, gradients and buffers after one step on a batch."""
    model.train()
    embeddings = model(batch)
    Symile()(embeddings).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return embeddings.z.detach(), gradients, dict(model.named_buffers())


@pytest.mark.parametrize("method", ["drop", "learned"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e6])
def test_nothing_absent_reaches_a_vector_a_gradient_or_a_statistic(
    method: str, value: float, catalog: Catalog, synthetic_store: CohortStore, batch: Batch
) -> None:
    task = tiny(catalog, "pretraining/symile", f"missing_modality={method}")
    expected, found = [
        _learned(build_model(task, synthetic_store, seed=0), made)
        for made in (batch, _filled(batch, value))
    ]
    assert torch.equal(expected[0], found[0])
    for before, after in zip(expected[1:], found[1:], strict=True):
        assert before.keys() == after.keys()
        for name in before:
            assert torch.equal(before[name], after[name]), name


def test_absent_vectors_are_zero(
    tiny_task: Pretraining, synthetic_store: CohortStore, batch: Batch
) -> None:
    embeddings = build_model(tiny_task, synthetic_store, seed=0)(batch)
    assert torch.equal(embeddings.z.any(dim=2), batch.available)
    assert torch.equal(embeddings.available, batch.available)
    assert torch.equal(embeddings.rows, batch.rows)


def test_l2_gives_vectors_of_length_one(
    tiny_task: Pretraining, synthetic_store: CohortStore, batch: Batch
) -> None:
    z = build_model(tiny_task, synthetic_store, seed=0)(batch).z
    torch.testing.assert_close(z.norm(dim=2), batch.available.float())


def test_layer_norm_gives_vectors_of_length_sqrt_dim(
    catalog: Catalog, synthetic_store: CohortStore, batch: Batch
) -> None:
    task = tiny(catalog, "pretraining/symile", "norm=layer_norm")
    z = build_model(task, synthetic_store, seed=0)(batch).z
    # The epsilon in LayerNorm shortens vectors a little.
    expected = batch.available * task.dim**0.5
    torch.testing.assert_close(z.norm(dim=2), expected, rtol=0.01, atol=0)
    torch.testing.assert_close(z.mean(dim=2), torch.zeros(12, 3), rtol=0, atol=1e-6)


def test_omit_has_no_substitute_and_learned_has_one_per_modality(
    catalog: Catalog, synthetic_store: CohortStore, batch: Batch
) -> None:
    omit = build_model(tiny(catalog, "pretraining/symile"), synthetic_store, seed=0)
    task = tiny(catalog, "pretraining/symile", "missing_modality=learned")
    learned = build_model(task, synthetic_store, seed=0)
    assert omit(batch).substitute is None
    substitute = learned(batch).substitute
    assert substitute.shape == (3, task.dim)
    torch.testing.assert_close(substitute.norm(dim=1), torch.ones(3))
    assert not torch.allclose(substitute[0], substitute[1])


def test_what_stands_for_an_absent_modality_learns_only_if_one_is_absent(
    catalog: Catalog, synthetic_store: CohortStore, batch: Batch
) -> None:
    task = tiny(catalog, "pretraining/symile", "missing_modality=learned")
    for made, learns in ((batch, True), (_complete(batch), False)):
        model = build_model(task, synthetic_store, seed=0)
        Symile()(model(made)).backward()
        vectors = model.missing_modality.substitute
        assert isinstance(vectors, nn.Parameter)
        assert vectors.grad is not None
        assert bool(vectors.grad.any()) is learns


def _complete(batch: Batch) -> Batch:
    return replace(batch, available=torch.ones_like(batch.available))


def test_a_modality_that_nobody_has_is_zero_for_all(
    tiny_task: Pretraining, synthetic_store: CohortStore, batch: Batch
) -> None:
    available = batch.available.clone()
    available[:, 1] = False
    z = build_model(tiny_task, synthetic_store, seed=0)(replace(batch, available=available)).z
    assert not z[:, 1].any()
    assert z[:, [0, 2]].any()


def test_one_sample_is_too_few_for_statistics_over_a_batch(
    tiny_task: Pretraining, synthetic_store: CohortStore, batch: Batch
) -> None:
    available = batch.available.clone()
    available[1:, 1], available[0, 1] = False, True
    model = build_model(tiny_task, synthetic_store, seed=0)
    with pytest.raises(ValueError, match=r"ecg in a batch of 12: only one sample has it, .* Raise"):
        model(replace(batch, available=available))
    assert model.eval()(replace(batch, available=available)).z[0, 1].any()


def test_the_same_seed_gives_the_same_weights_and_another_others(
    tiny_task: Pretraining, synthetic_store: CohortStore
) -> None:
    first, again, other = [build_model(tiny_task, synthetic_store, seed=s) for s in (3, 3, 4)]
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name])
    different = dict(other.named_parameters())
    assert any(not torch.equal(p, different[name]) for name, p in first.named_parameters())


def test_the_global_random_stream_is_left_as_it_was(
    tiny_task: Pretraining, synthetic_store: CohortStore
) -> None:
    before = torch.random.get_rng_state(), np.random.get_state(legacy=False)  # noqa: NPY002
    embed_rows(build_model(tiny_task, synthetic_store, seed=0), synthetic_store, np.arange(5))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_equal(np.random.get_state(legacy=False), before[1])  # noqa: NPY002


def test_every_problem_of_the_encoders_is_told(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = tiny(
        catalog,
        "pretraining/symile",
        "encoders.ecg.sampling_rate_hz=120",
        'encoders.labs.hidden="wide"',
    )
    with pytest.raises(DefinitionError) as caught:
        build_model(task, synthetic_store, seed=0)
    assert "encoders.ecg: sampling_rate_hz is 120; expected a divisor of 500" in str(caught.value)
    assert "encoders.labs: " in str(caught.value)


@pytest.mark.parametrize("method", ["drop", "learned", "indicator"])
def test_gaussian_embeddings_have_means_of_length_one_and_limited_log_variances(
    method: str, catalog: Catalog, synthetic_store: CohortStore, batch: Batch
) -> None:
    task = tiny(catalog, "pretraining/symile", f"missing_modality={method}")
    model = build_model(task, synthetic_store, seed=0, spread=True)
    with torch.no_grad():
        for encoder in model.encoders.values():
            list(encoder.parameters())[-1].mul_(0).add_(30.0)
    embeddings = model(batch)
    assert embeddings.z.shape[-1] == 2 * task.dim
    z, used = embeddings.with_substitutes()
    vectors = z[used]
    ones = torch.ones(len(vectors))
    torch.testing.assert_close(vectors[:, : task.dim].norm(dim=1), ones)
    assert vectors[:, task.dim :].abs().max() <= 10
    assert embeddings.log_variance is not None
    assert embeddings.log_variance[embeddings.available].max() == 10
    assert not embeddings.z[~embeddings.available].any()
    everyone = embed_rows(model, synthetic_store, np.arange(7))
    assert everyone.spread
    assert everyone.means.shape == (7, 3, task.dim)
