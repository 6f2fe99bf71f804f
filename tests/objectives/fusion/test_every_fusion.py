"""What holds for every fusion in the table: missing modalities cannot act, and order changes
nothing."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.evaluation.leak_checks.components import fusion_leaks
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import FUSIONS
from tests.helpers.synthetic import tiny

MODALITIES, DIM = ("cxr", "ecg", "labs"), 8
FOLDER = Path(__file__).resolve().parents[3] / "tasks" / "pretraining" / "objectives"
# Every set of modalities that a sample may have.
SETS = torch.tensor([some for some in product([True, False], repeat=3) if any(some)])

each_fusion = pytest.mark.parametrize("name", sorted(FUSIONS))


def made(name: str, *, seed: int = 0, **arguments: Any) -> Any:
    """A fusion in float64; `Any`, as tests read the layers of single ones."""
    generator = torch.Generator().manual_seed(seed)
    return resolve(name, FUSIONS)(MODALITIES, DIM, generator, **arguments).double()


def drawn(samples: int, width: int = DIM) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(samples, 3, width, generator=generator, dtype=torch.float64)


def read_by(fusion: ModalityFusion, samples: int = len(SETS)) -> Tensor:
    """Vectors, each followed by the summary of its modality's tokens if the fusion reads these."""
    return drawn(samples, DIM + fusion.summary_width)


@each_fusion
@pytest.mark.parametrize("junk", [torch.nan, torch.inf, 1e300, 3.0])
def test_what_a_missing_vector_holds_changes_neither_the_output_nor_a_gradient(name, junk):
    found = []
    for value in (0.0, junk):
        fusion = made(name)
        z = read_by(fusion)
        z[~SETS] = value
        z.requires_grad_()
        fused = fusion(z, SETS)
        own = fusion.extra_losses(torch.where(SETS[:, :, None], z, 0.0), SETS)
        loss = fused.square().sum() + sum(own.values())
        gradients = torch.autograd.grad(loss, [z, *fusion.parameters()])
        assert (gradients[0][~SETS] == 0).all()
        assert (gradients[0][SETS] != 0).any()
        found.append([fused, *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert torch.isfinite(found[0][0]).all()


@each_fusion
def test_all_available_is_the_same_to_the_bit_as_no_availability_given(name):
    fusion = made(name)
    z = read_by(fusion, 5)
    assert torch.equal(fusion(z), fusion(z, torch.ones(5, 3, dtype=torch.bool)))


@each_fusion
def test_the_order_of_samples_changes_nothing_and_none_depends_on_another(name):
    fusion, order = made(name), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    z = read_by(fusion)
    fused = fusion(z, SETS)
    assert fused.shape == (len(SETS), DIM)
    torch.testing.assert_close(fusion(z[order], SETS[order]), fused[order])
    alone = torch.cat([fusion(z[i : i + 1], SETS[i : i + 1]) for i in range(len(SETS))])
    torch.testing.assert_close(alone, fused)


@each_fusion
def test_every_available_vector_acts(name):
    fusion = made(name)
    z = read_by(fusion).requires_grad_()
    (gradient,) = torch.autograd.grad(fusion(z, SETS).square().sum(), z)
    acts = (gradient != 0).any(dim=2)
    assert torch.equal(acts, SETS)


@each_fusion
def test_weights_come_from_the_generator_alone(name):
    state = torch.random.get_rng_state()
    first = made(name, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.randn(5)
    weights = first.state_dict()
    same, other = made(name, seed=3).state_dict(), made(name, seed=4).state_dict()
    assert all(torch.equal(value, same[key]) for key, value in weights.items())
    if weights:
        assert any(not torch.equal(value, other[key]) for key, value in weights.items())


@each_fusion
def test_a_sample_without_a_modality_is_refused(name):
    available = torch.ones(4, 3, dtype=torch.bool)
    available[2] = False
    fusion = made(name)
    with pytest.raises(ValueError, match="1 of 4 samples have no modality available"):
        fusion(read_by(fusion, 4), available)


@each_fusion
def test_no_samples_give_no_vectors(name):
    fusion = made(name)
    assert fusion(read_by(fusion, 0)).shape == (0, DIM)


@each_fusion
def test_the_leakage_check_finds_nothing(name):
    assert list(fusion_leaks(resolve(name, FUSIONS))) == []


def test_each_fusion_has_a_task_of_the_supervised_objective(catalog: Catalog) -> None:
    names = sorted(path.stem for path in FOLDER.glob("outcome*.toml"))
    fusions = {
        tiny(catalog, f"pretraining/objectives/{name}").objective.arguments["fusion"]["name"]
        for name in names
    }
    assert fusions == set(FUSIONS)


def test_the_page_of_objectives_has_a_row_for_each_fusion() -> None:
    page = FOLDER.parents[2] / "docs" / "explanation" / "objectives.md"
    rows = {line.split("|")[1].strip() for line in page.read_text().splitlines() if "| `" in line}
    assert {f"`{name}`" for name in FUSIONS} <= rows


def test_the_code_of_a_set_is_the_sum_of_powers_of_two():
    assert pattern_codes(SETS).tolist() == [7, 3, 5, 1, 6, 2, 4]


def test_a_fusion_without_fuse_is_refused():
    with pytest.raises(NotImplementedError, match="ModalityFusion has no `fuse`; define it"):
        ModalityFusion(MODALITIES, DIM)(drawn(2))


def test_the_mean_is_over_the_available_vectors():
    z = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])
    fusion = resolve("mean", FUSIONS)(MODALITIES, 2, torch.Generator())
    assert fusion(z, torch.tensor([[True, True, False]])).tolist() == [[2.0, 4.0]]
    assert fusion(z, torch.tensor([[False, True, False]])).tolist() == [[3.0, 6.0]]


def test_gates_of_a_feature_add_up_to_one_over_what_is_available():
    fusion, z = made("gated"), drawn(len(SETS))
    with torch.no_grad():
        for layer in fusion.hidden:  # hidden vectors of ones leave the sum of the gates
            layer.weight.zero_()
            layer.bias.fill_(torch.inf)
    torch.testing.assert_close(fusion(z, SETS), torch.ones(len(SETS), DIM, dtype=torch.float64))


def test_attention_is_the_softmax_of_the_definition_over_what_is_available():
    fusion, z = made("attention", heads=2), drawn(len(SETS))
    attention = fusion.attention
    w_query, w_key, w_value = attention.in_proj_weight.chunk(3)
    b_query, b_key, b_value = attention.in_proj_bias.chunk(3)
    query, half = w_query @ fusion.query + b_query, DIM // 2
    for i, available in enumerate(SETS):
        vectors = (z[i] + fusion.places)[available]
        keys, values = vectors @ w_key.T + b_key, vectors @ w_value.T + b_value
        parts = []
        for head in (slice(half), slice(half, DIM)):
            weights = torch.softmax(keys[:, head] @ query[head] / half**0.5, dim=0)
            parts.append(weights @ values[:, head])
        expected = attention.out_proj(torch.cat(parts))
        torch.testing.assert_close(fusion(z[i : i + 1], available[None])[0], expected)


def test_a_mixture_has_an_expert_for_each_set_and_trains_it_alone():
    fusion, z = made("mixture"), drawn(4)
    assert sorted(fusion.experts) == ["1", "2", "3", "4", "5", "6", "7"]
    available = torch.tensor([[True, False, True]] * 4)  # 1 + 4
    fusion(z, available).square().sum().backward()
    taught = {code for code, expert in fusion.experts.items() if expert[0].weight.grad is not None}
    assert taught == {"5"}
    assert fusion.experts["5"][0].in_features == 2 * DIM


def test_a_transformer_gives_vectors_of_the_scale_that_others_have():
    fused = made("transformer", tokens=2, width=8)(drawn(5))
    torch.testing.assert_close(fused.square().mean(dim=1), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("concat", {"hidden": 0}, "hidden is 0; expected a number of at least 1"),
        ("mixture", {"hidden": 0}, "hidden is 0; expected a number of at least 1"),
        ("attention", {"heads": 3}, "dim is 8; expected a multiple of 3"),
        ("transformer", {"tokens": 3}, "dim is 8; expected a multiple of 3"),
        ("transformer", {"width": 6}, "width is 6; expected a multiple of 4"),
    ],
)
def test_an_argument_out_of_range_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        made(name, **arguments)


def test_a_mixture_of_many_modalities_is_refused():
    many = tuple(f"m{number}" for number in range(7))
    with pytest.raises(ValueError, match="modalities is 7; expected more than 0, at most 6"):
        resolve("mixture", FUSIONS)(many, DIM, torch.Generator())
