"""Write runs between a run and one that started from it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_symile.api._arguments import PathLike, as_run
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.run import Run


def interpolate_runs(
    first: PathLike | Run,
    second: PathLike | Run,
    store: PathLike | CohortStore,
    *,
    alphas: Sequence[float],
    out: PathLike,
    name: str = "wiseft",
) -> Iterator[Run]:
    """Write runs whose weights lie between two runs, for each share of the second; yield them.

    Args:
        first: a run.
        second: a run that started from it.
        store: what both were trained on.
        alphas: shares of the second run's weights, from 0 to 1.
        out: the folder of runs.
        name: the name of the runs' folders, which the share in per cent follows.

    Raises:
        DefinitionError: a share is not from 0 to 1, or the runs have other weights.
        DataError: the second run did not start from the first one, or a folder holds another run.
    """
    opened = open_store(store)
    from clinical_symile.training.interpolate import write_interpolated_run  # loads PyTorch

    for alpha in alphas:
        run = Run(path_in(Path(out), f"{name}-{100 * alpha:g}"))
        yield write_interpolated_run(
            as_run(first), as_run(second), float(alpha), store=opened, run=run
        )
