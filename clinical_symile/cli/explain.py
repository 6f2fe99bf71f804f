"""`clinical-symile explain`: explain an error code and what to do about it."""

import argparse
import re
from difflib import get_close_matches

from clinical_symile.cli.arguments import complete_by
from clinical_symile.errors import ClinicalSymileError, error_codes


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `explain`."""
    code = parser.add_argument(
        "code",
        metavar="CODE",
        nargs="?",
        help="error code such as CS-D015 (default: list all codes)",
    )
    complete_by(code, lambda _: error_codes())


def run_explain(options: argparse.Namespace) -> int:
    """Print the entry of a code, or all codes."""
    print(list_codes() if options.code is None else explain_code(options.code))
    return 0


def explain_code(code: str) -> str:
    """Return the entry of a code: what happened, why, and what to do.

    Args:
        code: such as `CS-D015`; `d15` is read as the same.

    Raises:
        ClinicalSymileError: no error has this code.
    """
    known, wanted = error_codes(), code.strip("[]").upper()
    if short := re.fullmatch(r"(?:CS-)?([A-Z])(\d{1,3})", wanted):
        wanted = f"CS-{short[1]}{short[2]:0>3}"
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
