"""Examples of what runs answered, drawn from made-up people only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.text.labels import modality_label, task_label

SAMPLING_RATE_HZ = 500.0


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One made-up query and what each run answered, to be drawn.

    A measurement is an image `[h, w]` or `[1, h, w]` of bytes, an ECG `[12, time]` in mV at 500 Hz,
    or a list of (analyte, value, unit).

    Attributes:
        task: the retrieval task.
        query: the measurements that were asked with, by modality.
        answers: for each run its first candidates, the best first, and whether each is right.
    """

    task: str
    query: Mapping[str, Any]
    answers: Mapping[str, Sequence[tuple[Any, bool]]]


@dataclass(frozen=True)
class Drawing:
    """One measurement: a picture's address, an SVG, or the rows of a table; the others are empty.

    Attributes:
        words: what it shows.
        picture: a `data:` address.
        trace: SVG.
        values: (analyte, value, unit) of each row.
    """

    words: str
    picture: str = ""
    trace: Markup | str = ""
    values: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class Example:
    """A query and the answers of each run.

    Attributes:
        title: what was asked.
        query: what it was asked with.
        answers: for each run its label and its drawings, the best first, each with whether it is
            right.
    """

    title: str
    query: Sequence[Drawing]
    answers: Sequence[tuple[Series, Sequence[tuple[Drawing, bool]]]]


def gallery(
    examples: Iterable[Answers],
    *,
    tasks: Mapping[str, Mapping[str, Any]],
    series: Sequence[Series],
) -> list[Example]:
    """Draw queries and answers."""
    drawn = []
    for place, asked in enumerate(examples):
        task = tasks[asked.task]
        query = [
            _draw(measurement, modality, f"gallery-{place}-{modality}")
            for modality, measurement in asked.query.items()
        ]
        answers = [
            (
                one,
                [
                    (_draw(found, task["target"], f"gallery-{place}-{one.run}-{rank}"), right)
                    for rank, (found, right) in enumerate(asked.answers[one.run])
                ],
            )
            for one in series
            if one.run in asked.answers
        ]
        drawn.append(Example(task_label(asked.task, task), query, answers))
    return drawn


def _draw(measurement: Any, modality: str, name: str) -> Drawing:
    # What draws takes a second to load.
    from clinical_symile.reporting.figures.signals import electrocardiogram, image

    words = modality_label(modality)
    if not isinstance(measurement, np.ndarray):
        return Drawing(words, values=[(a, f"{value:.4g}", unit) for a, value, unit in measurement])
    if measurement.dtype == np.uint8:
        return Drawing(words, picture=image(measurement.reshape(measurement.shape[-2:])))
    trace = electrocardiogram(
        measurement, sampling_rate_hz=SAMPLING_RATE_HZ, name=name, title=f"A made-up {words}"
    )
    return Drawing(words, trace=Markup(trace))
