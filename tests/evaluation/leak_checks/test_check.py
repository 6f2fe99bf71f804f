"""The leakage check names what leaks of a user's own component."""

from pathlib import Path

import pytest

from clinical_symile.cli.main import main
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.check import (
    LEAK_CHECKS,
    check_no_leakage,
    leak_check_coverage,
)
from clinical_symile.registry.families import ADAPTERS, FAMILIES, KERNELS

ROOT = Path(__file__).resolve().parents[3]


def test_the_table_of_the_page_has_every_name_that_a_definition_may_use():
    covered = {name for table, _ in LEAK_CHECKS.values() for name in table}
    assert covered == {name for family in (*FAMILIES.values(), KERNELS) for name in family}
    page = ROOT / "docs" / "explanation" / "missingness.md"
    assert leak_check_coverage() in page.read_text(encoding="utf-8")


LEAKING = '''
import numpy as np
import torch
from torch import nn

from clinical_symile.models.missing_modality.base import (
    DropModality,
    MissingModalityMethod,
    encode_available,
)
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.infonce import clip_loss


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


class RunningMean(nn.Module):
    """It replaces a missing modality by the running mean of what was available."""

    def __init__(self, modalities, dim):
        super().__init__()
        self.dim = dim
        self.register_buffer("mean", torch.ones(modalities, dim))

    def forward(self, encoder, norm, inputs, available, *, column):
        z = encode_available(encoder, norm, inputs, available, dim=self.dim)
        replacement = norm(self.mean[column][None])[0]
        if self.training:
            self.mean[column] = 0.5 * self.mean[column] + 0.5 * z[available].mean(dim=0).detach()
        return z, replacement


class RemembersHidden(RunningMean):
    """Its running mean takes hidden inputs too: no embedding of the same batch changes."""

    def forward(self, encoder, norm, inputs, available, *, column):
        z, replacement = super().forward(encoder, norm, inputs, available, column=column)
        if self.training:
            self.mean[column] += torch.nan_to_num(inputs.detach()).mean()
        return z, replacement


class RemembersAside(RunningMean):
    """It keeps hidden inputs in an attribute, and adds them to the next batch."""

    kept = 0.0

    def forward(self, encoder, norm, inputs, available, *, column):
        z, replacement = super().forward(encoder, norm, inputs, available, column=column)
        kept, self.kept = self.kept, float(torch.nan_to_num(inputs.detach()[~available]).sum())
        return z, replacement if column else replacement + kept


class Queue(Clip):
    """Its loss adds the mean of the embeddings of the batch before, available or not."""

    before = 0.0

    def forward(self, embeddings, *, generator=None):
        loss = super().forward(embeddings) + self.before
        self.before = float(torch.nan_to_num(embeddings.z.detach()).mean())
        return loss


class HonestQueue(Clip):
    """The same of available embeddings only."""

    before = 0.0

    def forward(self, embeddings, *, generator=None):
        loss = super().forward(embeddings) + self.before
        self.before = float(embeddings.z.detach()[embeddings.available].mean())
        return loss


class Caches:
    """A baseline that learns at the first request, from hidden values too, for all later ones."""

    description = "The mean of the labs."
    learns_from_all = False
    learned = None

    def predict(self, inputs):
        known, self.learned = self.learned, np.nan_to_num(inputs.store.array("labs")).mean()
        return np.full(len(inputs.request.rows), 0.5 if known is None else 1 / (1 + np.exp(-known)))


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


class MixingAdapter:
    def adapt(self, encoder, *, head):
        head.register_forward_pre_hook(lambda module, given: (given[0] - given[0].mean(0),))
        return 1
'''


@pytest.fixture
def leaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "leaking_components.py").write_text(LEAKING)
    monkeypatch.syspath_prepend(tmp_path)
    return "leaking_components"


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("ReadsAbsent", "an objective that leaks: the loss changes when hidden slots hold"),
        ("ReadsTarget", "the score for cxr changes when hidden slots and the query's own cxr"),
        ("ReadsOthers", "the score for ecg of a query depends on the other queries"),
        (
            "EncodesAll",
            "a missing-modality handler that leaks: an embedding changes when hidden slots",
        ),
        ("LEAKING_METHOD", "a missing-modality method that leaks: an embedding changes"),
        ("Mixes", "an encoder that leaks: an embedding in use depends on the other samples"),
        ("Blends", "an augmentation that leaks: an available sample changes when hidden slots"),
        ("Brightens", "the input of a hidden sample is zero before and not after"),
        ("Peeks", "a probe that leaks: the prediction changes when hidden slots hold values"),
        ("ReadsStore", "a probe that leaks: the prediction changes when hidden slots hold"),
        ("ReadsHidden", "a baseline that leaks: the prediction changes when hidden slots hold"),
        ("LearnsHidden", "a baseline that leaks: the prediction changes when hidden slots hold"),
        ("KnowsOutcome", "a baseline that leaks: the prediction changes with the outcome of the"),
        ("ProbesOutcome", "a probe that leaks: the prediction changes with the outcome of the"),
        ("KnowsWhoWasMeasured", "changes with whether hidden measurements exist"),
        ("Imputes", "the input of a hidden sample is zero before and not after"),
        (
            "RemembersHidden",
            "a missing-modality handler that leaks: the state '.*mean' changes when",
        ),
        ("RemembersAside", "an embedding of the next batch changes when hidden slots hold"),
        ("Queue", "an objective that leaks: the loss of the next batch changes when hidden slots"),
        ("Caches", "a baseline that leaks: the prediction of the next request changes when hidden"),
        ("Stops", "a probe that stops with ValueError: found NaN"),
        ("NUMBER", "a int; expected an objective, a fusion"),
    ],
)
def test_a_component_that_leaks_fails_with_a_sentence_that_names_the_leak(leaking, name, leak):
    with pytest.raises(DefinitionError, match=leak):
        check_no_leakage(f"{leaking}:{name}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SOUND_METHOD", "a missing-modality method"),
        ("RunningMean", "a missing-modality handler"),
        ("HonestQueue", "an objective"),
    ],
)
def test_an_honest_component_passes_also_if_it_keeps_a_running_mean(leaking, name, kind):
    assert check_no_leakage(f"{leaking}:{name}") == (
        f"{leaking}:{name}: {kind}; it does not read hidden modalities."
    )


def test_the_command_line_checks_code_outside_the_package(leaking, capsys):
    for name, status, words in (
        ("SOUND_METHOD", 0, "a missing-modality method; it does not read hidden modalities."),
        ("Peeks", 1, "a probe that leaks"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["check", "--canary", f"{leaking}:{name}"])
        assert stop.value.code == status
        shown = capsys.readouterr()
        assert words in shown.out + shown.err


def test_a_component_that_does_not_exist_is_refused(leaking):
    with pytest.raises(DefinitionError, match="no attribute 'Nothing'"):
        check_no_leakage(f"{leaking}:Nothing")


def test_adapters_pass_and_one_that_mixes_samples_is_found(leaking: str):
    for name in ADAPTERS.values():
        assert check_no_leakage(name) == f"{name}: an adapter; it does not read hidden modalities."
    with pytest.raises(DefinitionError, match="an adapter that leaks: an embedding in use"):
        check_no_leakage(f"{leaking}:MixingAdapter")
