"""List every result that two versions give differently for the same benchmark, by cause.

    python benchmarks/changed_numbers.py OLD/results.jsonl NEW/results.jsonl --out TABLE.md

OLD and NEW are benchmarks of one cohort, made by two versions on one machine. A value that changed
has a cause: another mask, another rule for a missing query modality, or both. An interval that
changed around an equal value has the cause "interval". Results that only one file holds are listed.
Numbers are equal if they differ by at most 1e-12.
"""

import argparse
import json
import math
from collections import Counter
from pathlib import Path

Key = tuple[str, str, str, str]
Row = dict[str, object]

ROUNDING = 1e-12
HEAD = "| task | missingness | run | metric | old | new | cause |\n|---|---|---|---|--:|--:|---|\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    old, new = results(options.old), results(options.new)
    options.out.write_text(table(old, new), encoding="utf-8")
    print(options.out)


def results(path: Path) -> dict[Key, Row]:
    """Read a results file; the last line of a result counts."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(row["task"], row["missingness"], row["run"], row["metric"]): row for row in rows}


def table(old: dict[Key, Row], new: dict[Key, Row]) -> str:
    """Write the table of all results, with a count of each cause above it."""
    causes: Counter[str] = Counter()
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        found = cause(before, after)
        causes[found] += 1
        lines.append(f"| {' | '.join(key)} | {shown(before)} | {shown(after)} | {found} |\n")
    counts = "".join(f"- {name}: {count}\n" for name, count in causes.most_common())
    return f"Results by cause of the change:\n\n{counts}\n{HEAD}{''.join(lines)}"


def cause(before: Row | None, after: Row | None) -> str:
    """Name the cause of a difference; "none" for equal values and intervals."""
    if before is None or after is None:
        return "only in the new version" if before is None else "only in the old version"
    if equal(before, after, "value"):
        return "none" if all(equal(before, after, end) for end in ("low", "high")) else "interval"
    found = []
    if before.get("mask") != after.get("mask"):
        found.append("mask")
    if before.get("missing_query") != after.get("missing_query"):
        found.append("missing query")
    return ", ".join(found) or "unexplained"


def equal(before: Row, after: Row, field: str) -> bool:
    """Compare a number of two results up to the rounding of another order of additions."""
    one, other = before.get(field), after.get(field)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=ROUNDING)
    return one == other


def shown(row: Row | None) -> str:
    """Write the value and its interval."""
    if row is None:
        return "not reported"
    if row.get("low") is None:
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


if __name__ == "__main__":
    main()
