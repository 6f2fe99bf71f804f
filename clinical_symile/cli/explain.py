"""`clinical-symile explain`: say what an error code means and what to do."""

from difflib import get_close_matches

from clinical_symile.errors import ClinicalSymileError, error_codes


def explain_code(code: str) -> str:
    """Return the entry of a code: what happened, why, and what to do.

    Args:
        code: such as `CS-D015`; `d015` is read as the same.

    Raises:
        ClinicalSymileError: no error has this code.
    """
    known, wanted = error_codes(), code.strip("[]").upper()
    wanted = wanted if wanted.startswith("CS-") else f"CS-{wanted}"
    if wanted not in known:
        close = get_close_matches(wanted, known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ClinicalSymileError(
            f"unknown code '{code}'{hint} `clinical-symile explain` lists all.", code="CS-U003"
        )
    found = known[wanted]
    return f"{found.code}: {found.title}\n\nWhy: {found.meaning}\nWhat to do: {found.action}"


def list_codes() -> str:
    """Return every code with what happened, a line each."""
    return "\n".join(f"{one.code}  {one.title}" for one in error_codes().values())
