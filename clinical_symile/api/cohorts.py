"""Prepare and open cohorts, and draw missingness masks."""

from collections.abc import Sequence
from pathlib import Path

from clinical_symile.api._arguments import (
    PathLike,
    Paths,
    Settings,
    as_overrides,
    choose_bar,
    open_definitions,
)
from clinical_symile.config.cohort import read_cohort
from clinical_symile.data import masks
from clinical_symile.data import store as stores
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.missingness.patterns import parse_pattern


def prepare(
    cohort: str,
    *,
    out: PathLike,
    source: PathLike | None = None,
    generate: Settings = (),
    catalog: Paths = (),
    progress: bool = True,
) -> CohortStore:
    """Read the raw files of a cohort and write its store, or open the store that is there.

    Args:
        cohort: a name of `list_cohorts()`.
        out: the folder of the store.
        source: the folder of the raw files. A synthetic cohort needs none: its raw files are
            written beside the store.
        generate: parameters of a synthetic cohort, such as `{"subjects": 200}`.
        catalog: folders with definitions of your own.
        progress: show progress bars on a terminal or in a notebook.

    Returns:
        The store.

    Raises:
        DefinitionError: there is no such cohort, or its definition is wrong.
        DataError: raw files are missing, broken or contradict each other.

    >>> cs.prepare("synthetic", out="store", generate={"subjects": 60}).modalities
    ('cxr', 'ecg', 'labs')
    """
    from clinical_symile.data.prepare_cohort import prepare_cohort

    definitions, out = open_definitions(catalog), Path(out)
    if source is None:
        path = definitions.path("cohorts", cohort)
        if read_cohort(path, name=cohort).generator is None:
            raise DataError(
                f"cohort '{cohort}' is read from raw files; expected their folder. Give source."
            )
        source = out.with_name(f"{out.name}-source")
    return prepare_cohort(
        definitions,
        cohort,
        source=Path(source),
        out=out,
        generate=as_overrides(generate),
        bar=choose_bar(progress),
    )


def open_store(store: PathLike | CohortStore) -> CohortStore:
    """Open a prepared cohort.

    Args:
        store: the folder that `prepare` wrote; a store is returned as it is.

    Raises:
        DataError: the folder is not a store, or files of it are missing or have another size.

    >>> cs.open_store("store").cohort
    'synthetic'
    """
    return store if isinstance(store, CohortStore) else stores.open_store(Path(store))


def draw_mask(
    missingness: str,
    store: PathLike | CohortStore,
    *,
    split: str,
    modalities: Sequence[str] | None = None,
    seed: int = 0,
) -> masks.Mask:
    """Draw which modalities of which samples a missingness pattern leaves available.

    The same pattern, store, split and seed give the same mask for every model.

    Args:
        missingness: a pattern such as `mcar-30`, `mnar-30` or `without-ecg`.
        store: a prepared cohort.
        split: `train`, `tuning` or `held_out`.
        modalities: the mask's columns; without it, all of the store.
        seed: of what is drawn.

    Returns:
        The mask, with `rows` of the store, `present` and `available`.

    Raises:
        DefinitionError: there is no such pattern, or it does not fit the modalities.
        CannotScore: the store lacks what the pattern depends on.

    >>> mask = cs.draw_mask("mcar-30", "store", split="train")
    >>> mask.available.shape == (len(mask.rows), 3)
    True
    """
    opened = open_store(store)
    columns = opened.modalities if modalities is None else tuple(modalities)
    pattern = parse_pattern(missingness)
    pattern.check(columns)
    return masks.draw_mask(pattern, opened, split=split, modalities=columns, seed=seed)
