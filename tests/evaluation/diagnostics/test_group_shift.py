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
from clinical_symile.stats.bootstrap import MetricSample, metric_intervals
from clinical_symile.stats.estimate import Interval
from tests.helpers.examined import examined, values
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
    probe: Mapping[str, Any] = PROBE,
) -> DiagnosticInputs:
    """Samples of two sites whose first number follows the outcome; at one it may be reversed."""
    sign = np.where(site == reversed_at, -1.0, 1.0)

    def drawn() -> np.ndarray:
        z = 0.5 * rng.normal(size=(SAMPLES, 2, 3)) + np.eye(3)[2]
        z[:, :, 0] += (sign * (OUTCOME - 0.5))[:, None]
        return z / np.linalg.norm(z, axis=2, keepdims=True)

    table = {
        "outcome": "event",
        "probe": probe,
        "diagnostic": {"name": "group_shift", "group": "site"},
        "metrics": ["auroc_lost"],
        "primary": "auroc_lost",
    }
    made = examined(drawn(), train=drawn(), outcome=OUTCOME, table=table)
    made.store.samples["group_site"] = np.tile(site, 3)
    return made


def intervals(inputs: DiagnosticInputs) -> dict[str, Interval]:
    measures = GroupShift(group="site").measure(inputs)
    numbers = [
        MetricSample(
            one.metric.compute,
            [one.columns[name] for name in one.metric.columns],
            one.metric.interval,
            one.metric.weighted,
            one.metric.estimate,
        )
        for one in measures
    ]
    found = metric_intervals(
        numbers, np.arange(SAMPLES), rng=np.random.default_rng(0), resamples=300
    )
    return {
        one.metric.name: interval
        for one, interval in zip(measures, found, strict=True)
        if isinstance(interval, Interval)
    }


def test_the_measures_are_those_of_probes_by_hand(rng: np.random.Generator) -> None:
    inputs = at_sites(rng, reversed_at="y")
    found = values(GroupShift(group="site"), inputs)
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
    for name in ("auroc_lost_by_chance", "auroc_lost_by_chance/x", "auroc_lost_by_chance/y"):
        assert -0.05 < shifted[name].low < shifted[name].high < 0.05
    assert shifted["auroc_across/y_from_x"].high < 0.5


class Counting:
    """A probe that predicts nothing, and keeps what it learned from."""

    learned: list[tuple[int, int]] = []  # noqa: RUF012

    def predict(self, inputs: ProbeInputs) -> np.ndarray:
        self.learned.append((len(inputs.train.rows), len(inputs.tuning.rows)))
        return np.zeros(len(inputs.samples.rows))


def test_all_probes_learn_from_as_many_samples(rng: np.random.Generator) -> None:
    site = np.where(np.arange(SAMPLES) % 4 == 3, "y", "x").astype(object)
    site[:2] = None
    probe = {"name": f"{__name__}:Counting"}
    Counting.learned.clear()
    inputs = at_sites(rng, site=site, probe=probe)
    with pytest.raises(CannotScore, match="its train samples lack a class"):
        values(GroupShift(group="site"), inputs)  # all of y have the outcome
    site = np.where(np.arange(SAMPLES) % 10 < 4, "y", "x").astype(object)
    values(GroupShift(group="site"), at_sites(rng, site=site, probe=probe))
    assert Counting.learned == [(160, 160)] * 2 + [(80, 80)] * 4


def test_small_groups_are_left_out_and_one_group_is_too_few(rng: np.random.Generator) -> None:
    site = SITE.copy()
    site[:98] = "z"
    found = values(GroupShift(group="site"), at_sites(rng, site=site))
    assert {name for name in found if name.startswith("auroc_within/")} == {
        f"auroc_within/{one}" for one in "xyz"
    }
    site[49:98] = "x"  # 49 of z
    found = values(GroupShift(group="site"), at_sites(rng, site=site))
    assert "auroc_within/z" not in found
    site[site == "y"] = "x"
    with pytest.raises(CannotScore, match="fewer than two groups of 'site' have 50 subjects"):
        values(GroupShift(group="site"), at_sites(rng, site=site))


def test_an_unknown_subgroup_and_a_bad_number_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(CannotScore, match="has no subgroup 'ward'; it has site"):
        values(GroupShift(group="ward"), at_sites(rng))
    with pytest.raises(ValueError, match="least_subjects is 1; expected 2 or more"):
        GroupShift(group="site", least_subjects=1)


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
    changes = ('inputs=["labs"]', 'outcome="enlarged_heart"', "diagnostic.least_subjects=20")
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
