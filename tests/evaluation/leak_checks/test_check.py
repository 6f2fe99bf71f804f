"""Every part of the package keeps what is withheld unreachable; parts that leak are named."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_symile.cli.main import main
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.check import HELD, check_no_leakage, leak_check_coverage
from clinical_symile.evaluation.leak_checks.components import (
    augmentation_leaks,
    baseline_leaks,
    encoder_leaks,
    missing_modality_leaks,
    objective_leaks,
    probe_leaks,
)
from clinical_symile.evaluation.leak_checks.fixtures import (
    SPLITS,
    toy_embeddings,
    toy_labelled_rows,
)
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.subsets import SubsetSum
from clinical_symile.objectives.symile import Symile
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import (
    AUGMENTATIONS,
    BASELINES,
    ENCODERS,
    FAMILIES,
    KERNELS,
    MISSING_MODALITY_METHODS,
    OBJECTIVES,
    PROBES,
)

ARGUMENTS = {
    "finetune": {"epochs": 2, "batch_size": 6, "learning_rate": 0.01},
    "logistic": {"strengths": [0.1, 1.0]},
    "neighbours": {"k": [1, 3]},
}
ROOT = Path(__file__).resolve().parents[3]
LARGE = ("resnet18", "resnet18_raster", "resnet18_stretched", "resnet50")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_objective_leaks(name):
    assert list(objective_leaks(resolve(name, OBJECTIVES))) == []


@pytest.mark.parametrize(
    "objective", [Symile(negatives="shuffled"), SubsetSum(Symile, 3), SubsetSum(Clip, 3)]
)
def test_no_variant_of_an_objective_leaks(objective):
    assert list(objective_leaks(objective)) == []


@pytest.mark.parametrize("name", MISSING_MODALITY_METHODS)
def test_no_way_with_absent_modalities_leaks(name):
    assert list(missing_modality_leaks(resolve(name, MISSING_MODALITY_METHODS))) == []


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - set(LARGE)))
def test_no_encoder_leaks(name):
    assert list(encoder_leaks(resolve(name, ENCODERS))) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_no_large_encoder_leaks(name):
    assert list(encoder_leaks(resolve(name, ENCODERS))) == []


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_leaks(name):
    probe = resolve(name, PROBES)(**ARGUMENTS.get(name, {}))
    assert list(probe_leaks(probe)) == []


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_leaks(name):
    assert list(baseline_leaks(resolve(name, BASELINES))) == []


@pytest.mark.parametrize(
    ("name", "arguments"), [("shift_image", {"most_px": 4}), ("shift_signal", {"most_ms": 100})]
)
def test_no_augmentation_leaks(name, arguments):
    made = resolve(name, AUGMENTATIONS)(**arguments)
    assert list(augmentation_leaks(lambda: made)) == []


def test_the_table_of_the_page_is_of_every_name_that_a_definition_may_use():
    told = {name for table, _ in HELD.values() for name in table}
    assert told == {name for family in (*FAMILIES.values(), KERNELS) for name in family}
    assert leak_check_coverage() in (ROOT / "docs" / "explanation" / "missingness.md").read_text(
        encoding="utf-8"
    )


LEAKING = '''
import numpy as np
import torch
from torch import nn

from clinical_symile.models.missing_modality.base import DropModality, MissingModalityMethod
from clinical_symile.objectives.clip import Clip, clip_loss


class ReadsAbsent(Clip):
    """Its loss takes every slot to be there."""

    def forward(self, embeddings, *, generator=None):
        return clip_loss(torch.nan_to_num(embeddings.z), self.logit_scale)


class ReadsTarget(Clip):
    """Its score adds how near a candidate is to the query's own target."""

    def score(self, query, candidates, *, target):
        own = torch.nan_to_num(query.z[:, query.modalities.index(target)])
        return super().score(query, candidates, target=target) + own @ candidates.T


class ReadsOthers(Clip):
    """Its score is centred over the queries that are asked together."""

    def score(self, query, candidates, *, target):
        scores = super().score(query, candidates, target=target)
        return scores - scores.mean(dim=0)


class EncodesAll(nn.Module):
    """It encodes what is absent too, and hides it afterwards."""

    def __init__(self, modalities, dim):
        super().__init__()

    def forward(self, encoder, norm, inputs, present, *, column):
        z = norm(encoder(torch.nan_to_num(inputs)))
        return torch.where(present[:, None], z, torch.zeros_like(z)), None


LEAKING_METHOD = MissingModalityMethod(handler=EncodesAll)
SOUND_METHOD = MissingModalityMethod(handler=DropModality, min_modalities=1)


class Mixes(nn.Module):
    """An encoder that adds the mean of the batch."""

    def __init__(self, shape, dim):
        super().__init__()
        self.layer = nn.Linear(int(np.prod(shape)), dim)

    def forward(self, inputs):
        z = self.layer(inputs.flatten(1))
        return z + z.mean(dim=0)


class Blends:
    """An augmentation that blends each sample with the next."""

    def __call__(self, inputs, /, *, generator):
        return torch.nan_to_num(inputs + 0.1 * inputs.roll(1, dims=0))


class Brightens:
    """An augmentation that makes something of what is absent."""

    def __call__(self, inputs, /, *, generator):
        return inputs + 0.1


class Peeks:
    """A probe that reads embeddings whether or not they are seen."""

    def predict(self, inputs):
        return 1 / (1 + np.exp(-np.nan_to_num(inputs.samples.z).sum(axis=(1, 2))))


class Stops:
    """A probe that cannot stand NaN in what it may not read."""

    def predict(self, inputs):
        if np.isnan(inputs.train.z).any():
            raise ValueError("found NaN")
        return np.full(len(inputs.samples.rows), 0.5)


class ReadsStore:
    """A probe that looks measurements up in the store, seen or not."""

    def predict(self, inputs):
        labs = np.nan_to_num(inputs.encoders.store.array("labs")[inputs.samples.rows])
        return 1 / (1 + np.exp(-labs.sum(axis=1)))


class ReadsHidden:
    """A baseline that reads all that was measured of those it is asked about."""

    description = "The sum of the labs."
    learns_from_all = False

    def predict(self, inputs):
        labs = inputs.store.array("labs")[inputs.request.rows]
        return 1 / (1 + np.exp(-np.nan_to_num(labs).sum(axis=1)))


class LearnsHidden(ReadsHidden):
    """A baseline that learns from what is hidden of training samples."""

    def predict(self, inputs):
        mean = np.nan_to_num(inputs.store.array("labs")[inputs.train.rows]).mean()
        return np.full(len(inputs.request.rows), 1 / (1 + np.exp(-mean)))


class KnowsOutcome(ReadsHidden):
    """A baseline that reads the outcome of those it is asked about."""

    def predict(self, inputs):
        return inputs.store.outcome(inputs.request.task.outcome)[inputs.request.rows]


class ProbesOutcome:
    """A probe that does the same."""

    def predict(self, inputs):
        return inputs.encoders.store.outcome("event")[inputs.samples.rows]


class KnowsWhoWasMeasured(ReadsHidden):
    """A baseline that counts what was measured, seen or not."""

    def predict(self, inputs):
        return inputs.store.present[inputs.request.rows].mean(axis=1)


class Imputes:
    """An augmentation that gives who is absent the mean of the batch."""

    def __call__(self, inputs, /, *, generator):
        absent = (inputs == 0).flatten(1).all(dim=1)
        made = inputs.clone()
        made[absent] = torch.nan_to_num(inputs[~absent]).mean(dim=0)
        return made


NUMBER = 3
'''


@pytest.fixture
def leaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "leaking_parts.py").write_text(LEAKING)
    monkeypatch.syspath_prepend(tmp_path)
    return "leaking_parts"


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("ReadsAbsent", "an objective that leaks: the loss changes when withheld slots hold"),
        ("ReadsTarget", "the score for cxr changes when withheld slots and the query's own cxr"),
        ("ReadsOthers", "the score for ecg of a query depends on the other queries"),
        (
            "EncodesAll",
            "a missing-modality handler that leaks: an embedding changes when withheld slots",
        ),
        ("LEAKING_METHOD", "a missing-modality method that leaks: an embedding changes"),
        ("Mixes", "an encoder that leaks: an embedding of one person depends on who else"),
        ("Blends", "an augmentation that leaks: a present sample changes when withheld slots"),
        ("Brightens", "what is absent, and so zero, is not zero any more"),
        ("Peeks", "a probe that leaks: the prediction changes when withheld slots hold values"),
        ("ReadsStore", "a probe that leaks: the prediction changes when withheld slots hold"),
        ("ReadsHidden", "a baseline that leaks: the prediction changes when withheld slots hold"),
        ("LearnsHidden", "a baseline that leaks: the prediction changes when withheld slots hold"),
        ("KnowsOutcome", "a baseline that leaks: the prediction changes with the outcome of those"),
        ("ProbesOutcome", "a probe that leaks: the prediction changes with the outcome of those"),
        ("KnowsWhoWasMeasured", "changes with whether what is withheld was measured"),
        (
            "Imputes",
            "what is absent, and so zero, is not zero any more",
        ),
        ("Stops", "a probe that stops with ValueError: found NaN"),
        ("NUMBER", "a int; expected an objective, a missing"),
    ],
)
def test_a_part_that_leaks_fails_with_a_sentence_that_names_the_leak(leaking, name, leak):
    with pytest.raises(DefinitionError, match=leak):
        check_no_leakage(f"{leaking}:{name}")


def test_the_command_line_holds_outside_code_to_it(leaking, capsys):
    for name, status, words in (
        ("SOUND_METHOD", 0, "a missing-modality method; nothing that is withheld reaches it."),
        ("Peeks", 1, "a probe that leaks"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["check", "--canary", f"{leaking}:{name}"])
        assert stop.value.code == status
        shown = capsys.readouterr()
        assert words in shown.out + shown.err


def test_a_part_that_is_not_there_is_refused(leaking):
    with pytest.raises(DefinitionError, match="no attribute 'Nothing'"):
        check_no_leakage(f"{leaking}:Nothing")


def test_the_canary_sees_gradients_too():
    class Stained(Clip):
        """Its loss is right, its gradient is not: a term that is zero where slots are zero."""

        def forward(self, embeddings, *, generator=None):
            stain = torch.where(torch.isnan(embeddings.z), 0.0, embeddings.z)[:, 2]
            absent = ~embeddings.available[:, 2]
            return (
                super().forward(embeddings)
                + 0 * self.logit_scale
                + (stain[absent] - stain[absent].detach()).sum()
            )

    leaks = list(objective_leaks(Stained()))
    assert any("the gradient of embeddings is not zero in withheld slots" in leak for leak in leaks)
    assert not any(leak.startswith("the loss") for leak in leaks)


def test_the_people_of_the_canary_lack_something_and_differ():
    z, present = toy_embeddings(4, samples=len(SPLITS))
    assert len(np.unique(z.numpy().reshape(len(z), -1), axis=0)) == len(z)
    for split in np.unique(SPLITS):
        some = present[torch.from_numpy(split == SPLITS)]
        assert (~some).any(dim=0).all()
        assert some.any(dim=1).all()
        assert len(np.unique(toy_labelled_rows(split, present.numpy()).label)) == 2
