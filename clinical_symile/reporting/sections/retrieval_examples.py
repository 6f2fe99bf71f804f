"""Show example queries and the answers of each run, of synthetic subjects only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_symile.reporting.figures.picture import Picture
from clinical_symile.reporting.figures.signals import electrocardiogram, image_address
from clinical_symile.reporting.report_data import QueryExample
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import Content, Section
from clinical_symile.reporting.text.labels import modality_label, task_label

_SAMPLING_RATE_HZ = 500.0


@dataclass(frozen=True)
class Drawing:
    """One measurement: an image, an ECG trace or the rows of a table; the others are empty.

    Attributes:
        words: its display name.
        picture: the image, as a `data:` address.
        trace: the ECG, as a figure.
        values: (analyte, value, unit) of each row.
    """

    words: str
    picture: str = ""
    trace: Picture | None = None
    values: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, repr=False)
class Example:
    """A query and the answers of each run.

    Attributes:
        title: the task.
        query: the measurements of the query.
        answers: for each run the drawings of its candidates, the best first, and whether each is
            correct.
    """

    title: str
    query: Sequence[Drawing]
    answers: Sequence[tuple[Series, Sequence[tuple[Drawing, bool]]]]


def draw_retrieval_examples(
    *, gallery: Sequence[QueryExample], tasks: TaskTables, series: Sequence[Series], synthetic: bool
) -> Content | None:
    """Draw the examples; nothing unless the subjects are synthetic."""
    if not gallery or not synthetic:
        return None
    return Content(
        heading="Example answers",
        text="Queries and the candidates that each run ranked first. These subjects are synthetic; "
        "measurements of real patients are never drawn here.",
        values={"examples": example_drawings(gallery, tasks=tasks, series=series)},
    )


RETRIEVAL_EXAMPLES = Section(
    "retrieval_examples",
    ("gallery", "tasks", "series", "synthetic"),
    draw_retrieval_examples,
    "sections/retrieval_examples.j2",
    display_name="example answers",
    description="Shows example queries and the answers of each run, of synthetic subjects only.",
)


def example_drawings(
    examples: Iterable[QueryExample], *, tasks: TaskTables, series: Sequence[Series]
) -> list[Example]:
    """Draw queries and answers."""
    drawn = []
    for place, example in enumerate(examples):
        task = tasks[example.task]
        query = [
            _draw(measurement, modality, f"gallery-{place}-{modality}")
            for modality, measurement in example.query.items()
        ]
        answers = [
            (
                one,
                [
                    (_draw(found, task["target"], f"gallery-{place}-{one.run}-{rank}"), correct)
                    for rank, (found, correct) in enumerate(example.answers[one.run])
                ],
            )
            for one in series
            if one.run in example.answers
        ]
        drawn.append(Example(task_label(example.task, task), query, answers))
    return drawn


def _draw(measurement: Any, modality: str, name: str) -> Drawing:
    words = modality_label(modality)
    if not isinstance(measurement, np.ndarray):
        return Drawing(words, values=[(a, f"{value:.4g}", unit) for a, value, unit in measurement])
    if measurement.dtype == np.uint8:
        return Drawing(words, picture=image_address(measurement.reshape(measurement.shape[-2:])))
    trace = electrocardiogram(
        measurement, sampling_rate_hz=_SAMPLING_RATE_HZ, name=name, title=f"A synthetic {words}"
    )
    return Drawing(words, trace=trace)
