import copy

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.loader import Batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.gradient_cache import batch_dependent_modules, encode_in_chunks
from clinical_symile.models.multimodal import MultimodalEncoder, build_model
from clinical_symile.objectives.probmed import ProbMed
from clinical_symile.objectives.symile import symile_loss
from tests.helpers.synthetic import tiny

MODALITIES = ("cxr", "ecg", "labs")
SAMPLES, FEATURES, DIM = 13, 6, 5


def _mlp(*layers: nn.Module, width: int = DIM) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), *layers, nn.GELU(), nn.Linear(8, width)).double()


def _model(*layers: nn.Module, at_a_time: int | None, spread: bool = False) -> MultimodalEncoder:
    torch.manual_seed(0)
    width = 2 * DIM if spread else DIM
    encoders = {name: _mlp(*copy.deepcopy(layers), width=width) for name in MODALITIES}
    return MultimodalEncoder(
        encoders,
        dim=DIM,
        norm="l2",
        missing_modality="drop",
        spread=spread,
        encode_at_a_time=at_a_time,
    )


def _batch(generator: torch.Generator) -> Batch:
    available = torch.ones(SAMPLES, 3, dtype=torch.bool)
    available[2, 0] = available[5, 1] = available[12, 2] = False
    inputs = {
        name: torch.randn(SAMPLES, FEATURES, dtype=torch.float64, generator=generator)
        for name in MODALITIES
    }
    return Batch(inputs, available, MODALITIES, torch.arange(SAMPLES))


def _gradients(model: MultimodalEncoder, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(7)
    embeddings = model(batch)
    loss = symile_loss(embeddings.z, 3.0, available=embeddings.available)
    return loss, list(torch.autograd.grad(loss, list(model.parameters())))


def test_gradients_of_means_and_variances_are_those_of_the_whole_batch(
    generator: torch.Generator,
) -> None:
    batch, found = _batch(generator), []
    for at_a_time in (None, 3):
        model, objective = _model(at_a_time=at_a_time, spread=True), ProbMed().double()
        loss = objective(model(batch), generator=torch.Generator().manual_seed(0))
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    assert all(gradient.abs().max() > 0 for gradient in found[0][1:])
    for expected, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(in_parts, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_a_time", [2, 3, 5, 12, 13, 100])
def test_gradients_are_those_of_the_whole_batch_whatever_the_parts(
    at_a_time: int, generator: torch.Generator
) -> None:
    batch = _batch(generator)
    loss, gradients = _gradients(_model(at_a_time=None), batch)
    in_parts, of_parts = _gradients(_model(at_a_time=at_a_time), batch)
    torch.testing.assert_close(in_parts, loss, rtol=0, atol=1e-12)
    assert max(gradient.abs().max() for gradient in gradients) > 1e-3
    for found, expected in zip(of_parts, gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_what_dropout_drops_is_the_same_both_times(generator: torch.Generator) -> None:
    # The same parts one after the other, with all of their activations kept.
    class Kept(MultimodalEncoder):
        def _encode(self, batch: Batch, column: int) -> Tensor:
            name, available = self.modalities[column], batch.available[:, column]
            parts = batch.inputs[name][available].tensor_split(3)
            encoded = self.norms[name](torch.cat([self.encoders[name](part) for part in parts]))
            z = encoded.new_zeros(len(available), self.dim)
            return z.index_put((available.nonzero()[:, 0],), encoded)

    batch, cached = _batch(generator), _model(nn.Dropout(0.5), at_a_time=4)
    kept = Kept(dict(cached.encoders.items()), dim=DIM, norm="l2", missing_modality="drop")
    loss, gradients = _gradients(kept, batch)
    in_parts, of_parts = _gradients(cached, batch)
    assert in_parts == loss
    for found, expected in zip(of_parts, gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_no_part_keeps_its_activations(generator: torch.Generator) -> None:
    def kept(at_a_time: int | None) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (sizes.append(tensor.numel()), tensor)[1], lambda tensor: tensor
        ):
            _model(at_a_time=at_a_time)(_batch(generator)).z.sum()
        return sum(sizes)

    slots, hidden = 3 * SAMPLES, 8
    assert kept(None) - kept(2) > 1.5 * slots * hidden


def test_parts_are_of_equal_size_and_never_of_one(generator: torch.Generator) -> None:
    sizes = []

    class Noted(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            sizes.append(len(inputs))
            return inputs

    for samples, at_a_time, expected in (
        (7, 3, [3, 2, 2]),
        (3, 2, [3]),
        (4, 2, [2, 2]),
        (1, 2, [1]),
    ):
        sizes.clear()
        encode_in_chunks(Noted(), torch.ones(samples, 2), at_a_time=at_a_time)
        assert sizes == expected


def test_evaluation_is_not_in_parts(generator: torch.Generator) -> None:
    batch = _batch(generator)
    whole, parts = _model(at_a_time=None).eval(), _model(at_a_time=2).eval()
    assert torch.equal(whole(batch).z, parts(batch).z)


NORMALISED = {
    "cxr": "small_cnn",
    "ecg": "resnet1d",
    "labs": "mlp",
}


@pytest.mark.parametrize(("name", "encoder"), NORMALISED.items())
def test_layers_that_mix_samples_are_refused_by_name_with_what_to_do(
    name: str, encoder: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = tiny(catalog, "pretraining/symile", "encode_at_a_time=4")
    assert task.encoders[name].name == encoder
    message = (
        rf"encoders\.{name} normalises over the batch, in .*\(BatchNorm\dd\).*"
        r'set batch_statistics = "parts"'
    )
    with pytest.raises(DefinitionError, match=message):
        build_model(task, synthetic_store, seed=0)


@pytest.mark.parametrize(
    ("layer", "mixes"),
    [
        (nn.BatchNorm1d(3), True),
        (nn.SyncBatchNorm(3), True),
        (nn.BatchNorm1d(3).eval(), False),
        (nn.BatchNorm1d(3, track_running_stats=False).eval(), True),
        (nn.LayerNorm(3), False),
        (nn.GroupNorm(1, 3), False),
        (nn.InstanceNorm1d(3, track_running_stats=True), False),
    ],
)
def test_what_mixes_samples_is_batch_normalisation_by_statistics_of_the_batch(
    layer: nn.Module, mixes: bool
) -> None:
    found = batch_dependent_modules(nn.Sequential(nn.Linear(3, 3), layer))
    assert found == ([f"1 ({type(layer).__name__})"] if mixes else [])


def test_each_part_is_normalised_by_its_own_statistics_which_move_once(
    generator: torch.Generator,
) -> None:
    inputs = torch.randn(6, FEATURES, dtype=torch.float64, generator=generator)
    encoder = _mlp(nn.BatchNorm1d(8))
    plain = copy.deepcopy(encoder)
    expected = torch.cat([plain(part) for part in inputs.split(3)])
    found = encode_in_chunks(encoder, inputs, at_a_time=3)
    assert torch.equal(found, expected)
    for made in (found, expected):
        made.square().sum().backward()
    for mine, other in zip(encoder.parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-12)
    for name, value in plain.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value), name
    assert [m.momentum for m in encoder.modules() if isinstance(m, nn.BatchNorm1d)] == [0.1]
