"""Write tables in LaTeX, as the package booktabs draws them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clinical_symile.files import write_text
from clinical_symile.tracking.rounding import ROUNDED

_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"}


def frame_latex(frame: pd.DataFrame, path: Path, *, rounded: bool) -> None:
    """Write a data frame as a LaTeX table (booktabs); numbers get three digits.

    Args:
        frame: the table.
        path: the file.
        rounded: True if the numbers were rounded; a comment then says so.
    """
    numeric = [pd.api.types.is_float_dtype(frame[name]) for name in frame.columns]
    lines = [[_cell(value) for value in line] for line in frame.itertuples(index=False, name=None)]
    aligned = "".join("r" if right else "l" for right in numeric)
    head = list(map(str, frame.columns))
    write_latex(head, lines, aligned=aligned, path=path, rounded=rounded)


def write_latex(
    head: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    aligned: str,
    path: str | Path | None,
    rounded: bool,
) -> str:
    """Return a LaTeX table (booktabs) of texts, in which names are escaped.

    Args:
        head: the column names.
        lines: the cells.
        aligned: the columns, such as `lr`.
        path: a file to write as well; None for none.
        rounded: True if the numbers were rounded; a comment then says so.
    """
    body = [" & ".join(map(_escape, line)) + r" \\" for line in (head, *lines)]
    text = "\n".join(
        [
            *[f"% {ROUNDED}"] * rounded,
            rf"\begin{{tabular}}{{{aligned}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
    if path is not None:
        write_text(Path(path), text)
    return text


def _escape(text: str) -> str:
    if text.startswith(r"\textbf{"):
        return text
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value != value:  # NaN differs from itself
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
