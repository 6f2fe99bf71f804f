"""Small cohorts and tasks of the catalog: the synthetic store, and pretraining in a moment."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore, open_store
from tests.helpers.shared_build import built_once

TINY = (
    "dim=8",
    "batch_size=32",
    "epochs=2",
    "encoders.cxr.size_px=16",
    "encoders.cxr.channels=[4, 8]",
    "encoders.ecg.sampling_rate_hz=20",
    "encoders.ecg.width=4",
    "encoders.labs.hidden=[16]",
)


LABS_AS_A_SET = ("pretraining/objectives/outcome_sets",)


def tiny_settings(name: str) -> list[str]:
    """What makes a task of the catalog small, also one whose labs are read by another encoder."""
    if name not in LABS_AS_A_SET:
        return [*TINY]
    kept = [setting for setting in TINY if "labs" not in setting]
    return [*kept, 'encoders.labs={name="sets", width=8, heads=2}']


def quiet(label: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A progress bar that shows nothing."""
    del label
    return nullcontext(lambda done, total: None)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return open_catalog()


@pytest.fixture(scope="session")
def synthetic_store(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    """The synthetic hospital with few people, prepared from its raw files beside it."""

    def build(folder: Path) -> None:
        prepare_cohort(
            catalog,
            "synthetic",
            source=folder / "source",
            out=folder / "store",
            generate=["subjects=60"],
            bar=quiet,
        )

    return open_store(built_once(tmp_path_factory, "synthetic", build) / "store")


@pytest.fixture
def tiny_task(catalog: Catalog) -> Pretraining:
    """`pretraining/symile` so small that an epoch takes a moment."""
    return tiny(catalog, "pretraining/symile")


def tiny(catalog: Catalog, name: str, *overrides: str) -> Pretraining:
    """A pretraining task of the catalog made small."""
    task = read_task(catalog, name, overrides=[*tiny_settings(name), *overrides])
    assert isinstance(task, Pretraining)
    return task


def mlp_task(catalog: Catalog, *overrides: str, task: str = "pretraining/symile") -> Pretraining:
    """A pretraining task with MLP encoders, so small that an epoch takes a moment.

    Encoders are replaced before they are made small: no sample depends on another of its batch.
    """
    mlps = (f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in ("cxr", "ecg", "labs"))
    small = ("dim=8", "batch_size=16", "epochs=3")
    made = read_task(catalog, task, overrides=[*mlps, *small, *overrides])
    assert isinstance(made, Pretraining)
    return made


AUGMENTED = (
    'augment.cxr={name="shift_image", most_px=4}',
    'augment.ecg={name="shift_signal", most_ms=40}',
)


def augmented_task(catalog: Catalog, *overrides: str) -> Pretraining:
    table = tiny(catalog, "pretraining/symile").model_dump(mode="json", exclude={"name"})
    table["augment"] = {}
    made = parse_task(table, name="a", where="the test", overrides=[*AUGMENTED, *overrides])
    assert isinstance(made, Pretraining)
    return made
