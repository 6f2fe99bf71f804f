"""Side information of train samples for objectives: labels, subjects, values and a number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clinical_symile.config.tasks.pretraining import Pretraining, Side
from clinical_symile.data.store import UNCERTAIN, CohortStore
from clinical_symile.data.training_view import TrainingView
from clinical_symile.errors import DataError, DefinitionError

SIDE_KINDS = ("labels", "subjects", "values", "number")


@dataclass(frozen=True, repr=False)
class SideInformation:
    """The side information of some train samples; None for a kind that the objective does not read.

    Attributes:
        rows: the samples, as rows of the store, ascending in a table of all train samples.
        labels: 1 where a label is positive, 0 where negative, -1 where uncertain, NaN where
            unknown; the labels in the order of the task's `side.labels`.
        subjects: a number for each subject; only equality has a meaning.
        values: measurements of the modality `side.values`, from 0 to 1 as percentiles of train
            values; NaN where not measured or not visible.
        number: the number of each sample that `side.number` names; NaN where unknown.
        positive_shares: the share of positives among the known labels of all train samples, one for
            each label; None without labels.
    """

    rows: Int[Tensor, " sample"]
    labels: Float[Tensor, "sample label"] | None = None
    subjects: Int[Tensor, " sample"] | None = None
    values: Float[Tensor, "sample value"] | None = None
    number: Float[Tensor, " sample"] | None = None
    positive_shares: Float[Tensor, " label"] | None = None

    def __repr__(self) -> str:
        """Return the number of samples; never a label or a value."""
        return f"SideInformation({len(self.rows)} samples)"

    def of(self, rows: Int[Tensor, " taken"]) -> "SideInformation":
        """Return the side information of some rows of the store, on their device.

        Raises:
            ValueError: a row is not among these samples.
        """
        if all(table is None for table in self._tables):
            return SideInformation(rows)  # nothing to look up, and no wait for the device
        wanted = rows.to(self.rows.device)
        index = torch.searchsorted(self.rows, wanted).clamp(max=len(self.rows) - 1)
        if not torch.equal(self.rows[index], wanted):
            raise ValueError("a row has no side information; expected rows of the train split.")
        return self.map(rows, lambda table: table[index].to(rows.device))

    def map(
        self, rows: Int[Tensor, " other"], change: Callable[[Tensor], Tensor]
    ) -> "SideInformation":
        """Return the side information of other rows: each table that there is, changed.

        Args:
            rows: the rows of the result.
            change: makes a table of the result, with a line for each of its rows.
        """
        shares = None if self.positive_shares is None else self.positive_shares.to(rows.device)
        return SideInformation(
            rows,
            *(None if table is None else change(table) for table in self._tables),
            positive_shares=shares,
        )

    @property
    def _tables(self) -> tuple[Tensor | None, ...]:
        """The tables, in the order of `SIDE_KINDS`."""
        return self.labels, self.subjects, self.values, self.number


def build_side_information(
    task: Pretraining, view: TrainingView, *, reads: Sequence[str]
) -> SideInformation:
    """Collect what an objective reads about the samples that it trains on, and nothing else.

    Only rows of the view are looked up, so that no label or value of another split is ever read.
    A measurement that the task's pattern hides is NaN. So are those of a sample that was taken
    apart, since they would tell which recordings belong together.

    Args:
        task: names the labels and the modality in its table `side`.
        view: the samples to train on.
        reads: some of `labels`, `subjects`, `values` and `number`.

    Raises:
        DefinitionError: the objective reads what the task does not name, or the reverse, or the
            modality has no values that can be compared.
        DataError: the cohort does not have a label, or all known labels are equal; or it has no
            such column of numbers, or fewer than two different ones.
    """
    side = task.side or Side()
    problems = _unmatched(side, reads)
    if "values" in reads and side.values is not None:
        problems += _value_problems(side.values, view.store)
    if problems:
        raise DefinitionError(
            *(f"task '{task.name}': {problem}" for problem in problems), code="CS-F026"
        )
    view = _one_row_each(view)
    labels = _labels(task, side.labels, view) if "labels" in reads else None
    return SideInformation(
        rows=torch.from_numpy(view.rows.astype(np.int64)),
        labels=labels,
        subjects=_subjects(view) if "subjects" in reads else None,
        values=_values(side.values, view) if "values" in reads and side.values else None,
        number=_number(task, side.number, view) if "number" in reads and side.number else None,
        positive_shares=None if labels is None else _positive_shares(labels),
    )


def _one_row_each(view: TrainingView) -> TrainingView:
    """Return the view with the first row alone of a sample that was taken apart."""
    _, first = np.unique(view.rows, return_index=True)
    return replace(
        view,
        rows=view.rows[first],
        partners=view.partners[first],
        available=view.available[first],
        is_apart=view.is_apart[first],
    )


def _unmatched(side: Side, reads: Sequence[str]) -> list[str]:
    """Return what the objective reads and the task does not name, and the reverse."""
    problems = [
        f"objective: reads '{kind}', which is none of {', '.join(SIDE_KINDS)}. Correct `reads`."
        for kind in reads
        if kind not in SIDE_KINDS
    ]
    for kind, named, example in (
        ("labels", bool(side.labels), 'labels = ["an_outcome"]'),
        ("values", side.values is not None, 'values = "labs"'),
        ("number", side.number is not None, 'number = "age"'),
    ):
        word = "a number" if kind == "number" else kind
        if kind in reads and not named:
            problems.append(
                f"objective: it reads {word}, and the task names none; expected the key {kind} of "
                f"the table [side], such as {example}. Add it."
            )
        if named and kind not in reads:
            problems.append(
                f"side.{kind}: the objective does not read {word}. Remove the key, or choose an "
                "objective that does."
            )
    return problems


def _value_problems(modality: str, store: CohortStore) -> list[str]:
    """Return why a modality has no values that can be compared."""
    no_rows = np.zeros(0, dtype=np.int64)
    tabular = [m for m in store.modalities if store.inputs(m, no_rows).shape[1:-1] == (2,)]
    if modality in tabular:
        return []
    return [
        f"side.values is '{modality}'; expected a modality of single values of cohort "
        f"'{store.cohort}': {', '.join(tabular) or 'it has none'}. Name one."
    ]


def _labels(
    task: Pretraining, names: Sequence[str], view: TrainingView
) -> Float[Tensor, "sample label"]:
    """Return the labels of the view's rows.

    Raises:
        DataError: the cohort lacks a label, or a label has one class in the train split.
    """
    store, problems, columns = view.store, [], []
    for name in names:
        if name not in store.outcomes:
            problems.append(
                f"task '{task.name}': side.labels names '{name}'; expected outcomes of cohort "
                f"'{store.cohort}': {', '.join(store.outcomes) or 'it has none'}. Name one of "
                "these, or add it to the cohort's file and prepare again."
            )
            continue
        label = store.samples[f"outcome_{name}"].iloc[view.rows].to_numpy(dtype=np.float64)
        if len(np.unique(label[(label == 0) | (label == 1)])) < 2:
            problems.append(
                f"task '{task.name}': label '{name}' has fewer than two classes among the samples "
                "to train on; expected positive and negative ones. Name another label, or prepare "
                "a larger cohort."
            )
        columns.append(np.where(label == UNCERTAIN, -1.0, label))
    if problems:
        raise DataError(*problems, code="CS-D034")
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def _number(task: Pretraining, name: str, view: TrainingView) -> Float[Tensor, " sample"]:
    """Return the number of each of the view's rows; NaN where unknown.

    Raises:
        DataError: the cohort keeps no such column of numbers, or has no two different ones in the
            train split.
    """
    numbers = kept_number(view.store, name)
    if numbers is None:
        raise DataError(
            f"task '{task.name}': side.number names '{name}'; expected a column of numbers that "
            f"cohort '{view.store.cohort}' keeps. Name another one, or add it to `keep` of the "
            "cohort's file and prepare again.",
            code="CS-D034",
        )
    found = numbers[view.rows]
    if len(np.unique(found[~np.isnan(found)])) < 2:
        raise DataError(
            f"task '{task.name}': '{name}' has fewer than two different numbers among the samples "
            "to train on; expected two or more. Name another one.",
            code="CS-D034",
        )
    return torch.from_numpy(found.astype(np.float32))


def kept_number(store: CohortStore, name: str) -> Float[np.ndarray, " sample"] | None:
    """Return a kept column of numbers, NaN where unknown; None if the cohort keeps no such column.

    Args:
        store: the cohort.
        name: the name of the column in the cohort's file.
    """
    column = store.samples.get(f"kept_{name}")
    if column is None or not pd.api.types.is_numeric_dtype(column):
        return None
    if pd.api.types.is_bool_dtype(column):
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _positive_shares(labels: Float[Tensor, "sample label"]) -> Float[Tensor, " label"]:
    """Return the share of positives among the known labels of each column."""
    positive, negative = ((labels == value).sum(dim=0) for value in (1, 0))
    return positive / (positive + negative)


def _subjects(view: TrainingView) -> Int[Tensor, " sample"]:
    """Return a number for the subject of each row."""
    codes, _ = pd.factorize(view.store.samples["subject"].iloc[view.rows])
    return torch.from_numpy(codes.astype(np.int64))


def _values(modality: str, view: TrainingView) -> Float[Tensor, "sample value"]:
    """Return the percentiles of a modality's values; NaN where not measured or not visible."""
    if modality in view.modalities:
        column = view.modalities.index(modality)
        sources, readable = view.partners[:, column], view.available[:, column]
    else:
        sources = view.rows
        readable = view.store.present[sources, view.store.modalities.index(modality)]
    inputs = view.store.inputs(modality, sources)
    percentiles, observed = inputs[:, 0], inputs[:, 1] > 0
    known = (readable & ~view.is_apart)[:, None] & observed
    return torch.from_numpy(np.where(known, percentiles, np.nan).astype(np.float32))
