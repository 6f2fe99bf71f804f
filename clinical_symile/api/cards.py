"""Write cohort cards, model cards and reporting checklists."""

from collections.abc import Sequence
from pathlib import Path

from clinical_symile.api._arguments import PathLike, Paths, as_names, open_definitions
from clinical_symile.data.croissant import write_croissant
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.reporting.cards.card_data import is_benchmark, is_store, load_records
from clinical_symile.reporting.cards.checklist import CHECKLISTS, write_checklist
from clinical_symile.reporting.cards.document import write_document
from clinical_symile.reporting.cards.model_card import model_card, write_model_cards
from clinical_symile.reporting.cards.model_facts import find_methods
from clinical_symile.reporting.cohort_card import render_card
from clinical_symile.tracking.run import Run


def card(
    path: PathLike | Run | CohortStore,
    *,
    out: PathLike,
    store: PathLike | None = None,
    catalog: Paths = (),
) -> list[Path]:
    """Write the card of a store, of a run, or of each method of a benchmark.

    A store gets a cohort card with a Croissant file; a run gets a model card as HTML and Markdown.
    Cards hold what records say of many subjects, and no row of one.

    Args:
        path: the folder of a store, an evaluated run or a finished benchmark.
        out: the HTML file; of a benchmark the folder of the cards.
        store: the store of a run; without it, the place that the run has recorded.
        catalog: folders with definitions of your own.

    Returns:
        The files.

    Raises:
        DataError: the folder is none of these or has no results, or the store is another one.

    Examples:
        >>> [path.name for path in cs.card("runs/symile-0", out="symile.html")]
        ['symile.html', 'symile.md']
    """
    out, definitions = Path(out), open_definitions(catalog)
    if isinstance(path, CohortStore) or (not isinstance(path, Run) and is_store(Path(path))):
        opened = open_store(path)
        beside = out.with_suffix(".croissant.json")
        render_card(opened, report=definitions.path("reports", "cohort_card"), out=out)
        write_croissant(opened, out=beside)
        return [out, beside]
    folder = path.path if isinstance(path, Run) else Path(path)
    data = load_records(folder, catalog=definitions, store=None if store is None else Path(store))
    if is_benchmark(folder):
        if out.suffix == ".html":
            raise DataError(
                f"{out}: a benchmark gets a card for each method; expected a folder after --out. "
                "Name one without .html, or make the card of one run.",
                code="CS-R028",
            )
        return write_model_cards(data, out=out)
    methods = [one for one in find_methods(data) if folder.resolve().name in one.runs]
    if not methods:
        raise DataError(
            f"{folder}: is a baseline or the oracle; a model card is of a trained or an external "
            "model. Name such a run.",
            code="CS-R007",
        )
    return write_document(model_card(methods[0], data), out=out)


def checklist(
    path: PathLike | Run,
    *,
    out: PathLike,
    guidelines: str | Sequence[str] = CHECKLISTS,
    store: PathLike | None = None,
    catalog: Paths = (),
) -> list[Path]:
    """Fill reporting checklists from the records of a benchmark or a run.

    Items that records do not answer stay blank, and are listed.

    Args:
        path: the folder of a finished benchmark or of an evaluated run.
        out: the folder to write into: HTML, Markdown and CSV of each checklist.
        guidelines: `tripod_ai` (TRIPOD+AI 2024), `claim` (CLAIM, 2024 update), or both.
        store: the store of a run; without it, the place that the run has recorded.
        catalog: folders with definitions of your own.

    Returns:
        The files.

    Raises:
        DataError: the folder is neither or has no results, or the store is another one.
        ValueError: there is no such checklist.

    Examples:
        >>> run = "runs/symile-0"
        >>> files = cs.checklist(run, out="checklists", guidelines="tripod_ai")
        >>> [path.name for path in files]
        ['tripod_ai.html', 'tripod_ai.md', 'tripod_ai.csv']
    """
    names = as_names(guidelines)
    for name in names:
        if name not in CHECKLISTS:
            known: dict[str, str] = {one: one for one in CHECKLISTS}
            raise ValueError(unknown_name_message(name, known, what="checklist"))
    folder = path.path if isinstance(path, Run) else Path(path)
    data = load_records(
        folder,
        catalog=open_definitions(catalog),
        store=None if store is None else Path(store),
    )
    return [file for name in names for file in write_checklist(name, data, out=Path(out))]
