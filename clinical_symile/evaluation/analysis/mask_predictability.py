"""How far what is missing gives an outcome away, of every pattern whose masks are drawn."""

from collections.abc import Sequence

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.analysis.dependence import mask_auroc
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.tracking.analysis_tables import MaskAuroc
from clinical_symile.tracking.progress import Progress

GUESS = 0.5


def analyze_masks(
    tasks: Sequence[Retrieval | Classification],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> list[MaskAuroc]:
    """The AUROC of predicting each outcome from which modalities are seen, and nothing else.

    Of tasks that predict outcomes which the cohort codes; patterns that hide the same from all, or
    that cannot be drawn here, are left out, as nothing can follow from them.

    Args:
        tasks: what is asked.
        store: of whom.
        progress: called with masks done and all of them.
    """
    asked = [
        (task, outcome, pattern)
        for task in tasks
        if isinstance(task, Classification)
        for outcome in task.outcomes
        if outcome in store.outcomes
        for pattern in map(parse_pattern, task.missingness)
        if pattern.mechanism and not pattern.within
    ]
    made = []
    for number, (task, outcome, pattern) in enumerate(asked, start=1):
        try:
            found = mask_auroc(
                pattern,
                store,
                outcome=outcome,
                split=task.split,
                modalities=task.inputs,
                seed=task.seed,
                uncertain=task.uncertain,
            )
        except (CannotScore, ValueError):  # said where the task is scored, or of one class alone
            continue
        finally:
            progress(number, len(asked))
        made.append(
            MaskAuroc(
                cohort=store.cohort,
                task=task.name,
                missingness=pattern.name,
                part=outcome if len(task.outcomes) > 1 else None,
                value=found.value,
                low=found.low,
                high=found.high,
                expected=_expected(pattern),
                digest=expected_fingerprints(task, store)(pattern.name),
            )
        )
    return made


def _expected(pattern: Pattern) -> float | None:
    """What it is in truth, where that is known: what is hidden by chance alone says nothing."""
    return GUESS if pattern.mechanism == "mcar" else None
