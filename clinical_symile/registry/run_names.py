"""Keep the names of the oracle and of baselines for their own runs."""

from clinical_symile.errors import DataError
from clinical_symile.registry.families import BASELINES
from clinical_symile.registry.names import check_name, folded_name

ORACLE = "oracle"
PAIR_SUMS = "pair-sums"  # the ceiling of sums over pairs on synthetic cohorts
# Folders of raw files, exports, MLflow's files and a launcher's jobs; checksums leave them out.
LEFT_OUT_FOLDERS = ("source", "export", "mlartifacts", "mlruns", "jobs")


def baseline_run_name(baseline: str) -> str:
    """Return the name of a baseline's run; a baseline may be `package.module:Name`.

    >>> baseline_run_name("hospital.models:Age")
    'hospital.models.Age'
    """
    return baseline.replace(":", ".")


def is_reserved_name(name: str) -> bool:
    """Return True if a run's name is the oracle's or a baseline's, in any form of its letters.

    >>> [is_reserved_name(name) for name in ("Oracle", "prevalence", "pair-sums", "symile-0")]
    [True, True, True, False]
    """
    reserved = (ORACLE, PAIR_SUMS, *map(baseline_run_name, BASELINES))
    return folded_name(name) in {folded_name(one) for one in reserved}


def check_run_name(name: str, *, where: str, advice: str = "Give another name.") -> str:
    """Return a name that a trained run or an external model may have.

    Args:
        name: the name.
        where: the option, file or folder that has it, for the message.
        advice: the sentence that says what to do, for the message.

    Raises:
        DataError: it cannot be a name, it is that of the oracle or of a baseline, whose place in
            tables and figures it would take, or of a folder that checksums leave out.
    """
    check_name(name, what="run", where=where)
    if folded_name(name) in LEFT_OUT_FOLDERS or folded_name(name).startswith("mlflow.db"):
        raise DataError(
            f"{where}: '{name}' is the name of a folder that checksums leave out; expected another "
            f"name for a run. {advice}",
            code="CS-M015",
        )
    if is_reserved_name(name):
        raise DataError(
            f"{where}: '{name}' is the name of the oracle or of a baseline; expected "
            f"another, because it would take its place. {advice}",
            code="CS-M015",
        )
    return name
