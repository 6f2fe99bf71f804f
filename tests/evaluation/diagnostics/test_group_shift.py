"""What a probe of one group loses in another: by hand, where a shift is planted, and where none."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.diagnostics.group_shift import GroupShift
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.user_model import as_predictor
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.evaluation.probes.logistic import Logistic
from clinical_symile.metrics.classification import auroc
from clinical_symile.stats.estimate import Interval
from tests.helpers.examined import examined, intervals_of, values
from tests.helpers.predicted import PROBE
from tests.helpers.synthetic import quiet

SAMPLES = 400
OUTCOME = np.arange(SAMPLES) % 2
SITE = np.where(np.arange(SAMPLES) // 2 % 2 == 0, "x", "y").astype(object)


def at_sites(
    rng: np.random.Generator,
    *,
    reversed_at: str = "",
    site: np.ndarray = SITE,
    outcome: np.ndarray = OUTCOME,
    probe: Mapping[str, Any] = PROBE,
) -> DiagnosticInputs:
    """Samples of two sites whose first number follows the outcome; at one it may be reversed."""
    sign = np.where(site == reversed_at, -1.0, 1.0)

    def drawn() -> np.ndarray:
        z = 0.5 * rng.normal(size=(SAMPLES, 2, 3)) + np.eye(3)[2]
        z[:, :, 0] += (sign * (outcome - 0.5))[:, None]
        return z / np.linalg.norm(z, axis=2, keepdims=True)

    table = {
        "outcome": "event",
        "probe": probe,
        "diagnostic": {"name": "group_shift", "group": "site"},
        "metrics": ["auroc_lost"],
        "primary": "auroc_lost",
    }
    made = examined(drawn(), train=drawn(), outcome=outcome, table=table)
    made.store.samples["group_site"] = np.tile(site, 3)
    return made


def intervals(inputs: DiagnosticInputs) -> dict[str, Interval]:
    return intervals_of(GroupShift(group="site", splits=10).measure(inputs), SAMPLES, resamples=300)


def test_the_measures_are_those_of_probes_by_hand(rng: np.random.Generator) -> None:
    inputs = at_sites(rng, reversed_at="y")
    found = values(GroupShift(group="site", splits=1), inputs)
    train, tuning, asked = inputs.of_split("train"), inputs.of_split("tuning"), inputs.samples

    def risk(learned: str, of: str) -> np.ndarray:
        at, examined_at = np.flatnonzero(learned == SITE), np.flatnonzero(of == SITE)
        first, second = (
            LabelledSamples(one.rows[at], one.z[at], one.available[at], ("a", "b"), OUTCOME[at])
            for one in (train, tuning)
        )
        some = EmbeddedSamples(
            asked.rows[examined_at], asked.z[examined_at], asked.available[examined_at], ("a", "b")
        )
        return Logistic(strengths=[1.0]).predict(ProbeInputs(first, second, some, None, seed=0))

    areas = {(a, b): auroc(OUTCOME[b == SITE], risk(a, b)) for a in ("x", "y") for b in ("x", "y")}
    for a, b in (("x", "y"), ("y", "x")):
        assert found[f"auroc_within/{b}"] == pytest.approx(areas[b, b], abs=1e-12)
        assert found[f"auroc_across/{b}_from_{a}"] == pytest.approx(areas[a, b], abs=1e-12)
        lost = areas[b, b] - areas[a, b]
        assert found[f"auroc_lost/{b}_from_{a}"] == pytest.approx(lost, abs=1e-12)
    mean = np.mean([areas[b, b] - areas[a, b] for a, b in (("x", "y"), ("y", "x"))])
    assert found["auroc_lost"] == pytest.approx(mean, abs=1e-12)


def test_a_planted_shift_is_found_and_without_one_the_interval_holds_0(
    rng: np.random.Generator,
) -> None:
    shifted, same = (intervals(at_sites(rng, reversed_at=one)) for one in ("y", ""))
    for name in ("auroc_lost", "auroc_lost/x_from_y", "auroc_lost/y_from_x"):
        assert shifted[name].low > 0.2
        assert -0.02 < same[name].low < same[name].high < 0.02
        assert shifted[name].value > shifted["auroc_between_halves"].value
        assert abs(same[name].value) < same["auroc_between_halves"].value
    for name in ("auroc_between_halves", "auroc_between_halves/x", "auroc_between_halves/y"):
        assert 0 < shifted[name].low < shifted[name].high < 0.1
    assert shifted["auroc_across/y_from_x"].high < 0.5


class Recording:
    """A probe along the difference of the classes' means, which keeps what it learned from."""

    learned: list[tuple[ProbeInputs, np.ndarray]] = []  # noqa: RUF012

    def predict(self, inputs: ProbeInputs) -> np.ndarray:
        z, label = inputs.train.z[:, 0], inputs.train.label
        found = inputs.samples.z[:, 0] @ (z[label == 1].mean(axis=0) - z[label == 0].mean(axis=0))
        self.learned.append((inputs, 1 / (1 + np.exp(-found))))
        return self.learned[-1][1]


RECORDING = {"name": f"{__name__}:Recording"}


def test_all_probes_learn_from_as_many_train_samples(rng: np.random.Generator) -> None:
    site = np.where(np.arange(SAMPLES) % 10 < 4, "y", "x").astype(object)
    Recording.learned.clear()
    values(GroupShift(group="site", splits=1), at_sites(rng, site=site, probe=RECORDING))
    counts = [(len(one.train.rows), len(one.tuning.rows)) for one, _ in Recording.learned]
    assert counts == [(160, 240), (160, 160), *[(80, 120)] * 2, *[(80, 80)] * 2]


@pytest.mark.parametrize("positive", [3, 6])
def test_a_rare_outcome_in_unequal_groups_leaves_no_probe_without_a_class(
    positive: int, rng: np.random.Generator
) -> None:
    """One site of 60 samples beside one of 340; 5 or 10 % of each have the outcome."""
    site = np.where(np.arange(SAMPLES) < 60, "y", "x").astype(object)
    outcome = np.zeros(SAMPLES, dtype=int)
    outcome[:positive] = outcome[60 : 60 + positive * 340 // 60] = 1
    Recording.learned.clear()
    values(GroupShift(group="site"), at_sites(rng, site=site, outcome=outcome, probe=RECORDING))
    assert len(Recording.learned) == 2 + 20 * 2 * 2
    large, small, *halves = [one.train.label for one, _ in Recording.learned]
    assert (len(large), large.sum()) == (len(small), small.sum()) == (60, positive)
    assert {len(label) for label in halves} == {30}
    assert all(0 < label.sum() < 30 for label in halves)


def test_few_tuning_samples_of_a_group_cut_no_other_and_both_classes_are_needed(
    rng: np.random.Generator,
) -> None:
    inputs = at_sites(rng, probe=RECORDING)
    column = inputs.store.samples["group_site"].to_numpy().copy()
    of_tuning = np.arange(SAMPLES, 2 * SAMPLES)
    column[of_tuning[SITE == "y"][4:]] = None  # 2 of each class stay
    inputs.store.samples["group_site"] = column
    Recording.learned.clear()
    values(GroupShift(group="site", splits=1), inputs)
    counts = [(len(one.train.rows), len(one.tuning.rows)) for one, _ in Recording.learned]
    assert counts[:2] == [(200, 200), (200, 4)]
    column[of_tuning[(SITE == "y") & (OUTCOME == 1)]] = None  # one class is left
    inputs.store.samples["group_site"] = column
    with pytest.raises(CannotScore, match="two of each in the train split, one in the tuning"):
        values(GroupShift(group="site", splits=1), inputs)


def test_the_control_is_the_quantile_over_splits_of_subjects_into_halves(
    rng: np.random.Generator,
) -> None:
    inputs = at_sites(rng, probe=RECORDING)
    places = np.arange(SAMPLES)
    # Two samples of one site and outcome each are of one subject.
    own = (places // 8 * 4 + places % 4).astype(str)
    learning = [f"{split}{one}" for split in ("train", "tuning") for one in own]
    subjects = np.array([*learning, *inputs.store.samples["subject"][2 * SAMPLES :]], dtype=object)
    inputs.store.samples["subject"] = subjects
    Recording.learned.clear()
    found = values(GroupShift(group="site", splits=4), inputs)
    learned = Recording.learned[2:]
    assert len(learned) == 16  # four splits, two sites, two halves
    differences: dict[str, list[float]] = {"x": [], "y": []}
    drawn = set()
    for (one, risk), (other, other_risk) in zip(learned[::2], learned[1::2], strict=True):
        for first, second in ((one.train, other.train), (one.tuning, other.tuning)):
            assert not {*subjects[first.rows]} & {*subjects[second.rows]}
            assert len(first.rows) == len(second.rows) == 100  # all of a site
            assert first.label.sum() == second.label.sum() == 50
        (site,) = {*SITE[one.train.rows]}
        at = site == SITE
        areas = [auroc(OUTCOME[at], some[at]) for some in (risk, other_risk)]
        differences[site].append(abs(areas[0] - areas[1]))
        drawn.add(tuple(one.train.rows))
    assert len(drawn) == 8
    quantiles = {site: np.quantile(some, 0.95) for site, some in differences.items()}
    for site, quantile in quantiles.items():
        assert found[f"auroc_between_halves/{site}"] == pytest.approx(quantile, abs=1e-12)
    assert found["auroc_between_halves"] == pytest.approx(np.mean([*quantiles.values()]))


def test_small_groups_are_left_out_and_one_group_is_too_few(rng: np.random.Generator) -> None:
    site = SITE.copy()
    site[:98] = "z"
    found = values(GroupShift(group="site", splits=1), at_sites(rng, site=site))
    assert {name for name in found if name.startswith("auroc_within/")} == {
        f"auroc_within/{one}" for one in "xyz"
    }
    site[49:98] = "x"  # 49 of z
    found = values(GroupShift(group="site", splits=1), at_sites(rng, site=site))
    assert "auroc_within/z" not in found
    site[site == "y"] = "x"
    with pytest.raises(CannotScore, match="fewer than two groups of 'site' have 50 subjects"):
        values(GroupShift(group="site", splits=1), at_sites(rng, site=site))


def test_an_unknown_subgroup_and_a_bad_number_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(CannotScore, match="has no subgroup 'ward'; it has site"):
        values(GroupShift(group="ward"), at_sites(rng))
    with pytest.raises(ValueError, match="least_subjects is 1; expected 2 or more"):
        GroupShift(group="site", least_subjects=1)
    with pytest.raises(ValueError, match="splits is 0; expected 1 or more"):
        GroupShift(group="site", splits=0)


@pytest.mark.slow
def test_a_shift_planted_in_the_synthetic_cohort_is_found_and_the_sexes_have_none(
    catalog: Catalog, tmp_path: Path
) -> None:
    """At one of two made sites, a laboratory reports the other end of each analyte."""
    prepare_cohort(
        catalog,
        "synthetic",
        source=tmp_path / "source",
        out=tmp_path / "store",
        generate=["subjects=300"],
        bar=quiet,
    )
    store = open_store(tmp_path / "store")
    # All modalities show whether the heart is enlarged.
    changes = (
        'inputs=["labs"]',
        'outcome="enlarged_heart"',
        "diagnostic.least_subjects=20",
        "diagnostic.splits=4",
    )
    task = read_task(catalog, "diagnostic/group_shift", overrides=changes)
    assert isinstance(task, DiagnosticTask)
    subjects = store.samples["subject"].to_numpy()
    site = np.where([hash_of(one) % 2 == 0 for one in subjects], "north", "south")
    store.samples["group_site"] = site.astype(object)
    found = {}
    for group, away in (("site", site == "south"), ("site", site == "none"), ("sex", site == "")):
        name = f"{group}, shifted" if away.any() else group
        about = task.diagnostic.model_copy(update={"group": group})
        made = evaluate(
            task.model_copy(update={"diagnostic": about}),
            as_predictor(Percentiles(away), store),
            store=store,
            run="percentiles",
            seed=0,
            missingness=None,
        )
        assert not made.unscored
        found[name] = {row.metric: row for row in made.results}
    for name in ("auroc_lost", "auroc_lost/north_from_south", "auroc_lost/south_from_north"):
        row = found["site, shifted"][name]
        assert row.low is not None
        assert row.low > 0.05, row
    for name in ("site", "sex"):
        row = found[name]["auroc_lost"]
        assert row.low is not None
        assert row.high is not None
        assert row.low < 0.03, row
        assert row.high > -0.03, row
        assert abs(row.value) < 0.06, row
    assert min(row.n_subjects for row in found["sex"].values()) >= 20


def hash_of(name: object) -> int:
    return zlib.crc32(str(name).encode())


class Percentiles:
    """Embeds labs by their percentiles; those of some samples are turned around."""

    def __init__(self, turned: np.ndarray):
        self._turned = turned

    def embed(self, store: CohortStore, rows: np.ndarray) -> Embeddings:
        values = store.inputs("labs", rows)[:, 0]
        away = self._turned[rows][:, None]
        z = torch.from_numpy(np.where(away, 1 - values, values).astype(np.float32) - 0.5)
        has = torch.from_numpy(store.present[rows][:, [store.modalities.index("labs")]])
        return Embeddings(z[:, None], has, ("labs",), torch.from_numpy(rows))
