"""Give templates of version 0.1 the variables that they used; removed in 0.3.0."""

from collections.abc import Callable
from functools import partial
from typing import Any

from clinical_symile.reporting.render import draw_sections
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.text.caveats import (
    above_oracle_sentences,
    code_difference_sentence,
    interval_sentence,
    seed_caveat,
)
from clinical_symile.reporting.text.findings import finding_sentences, oracle_sentences

# Variables that were lists of panels: the section, and which of its two lists.
_PANELS = {
    "retrieval": ("retrieval", "panels"),
    "retrieval_missing": ("retrieval_missing", "panels"),
    "classification": ("classification", "more"),
    "classification_missing": ("classification", "panels"),
    "differences": ("differences", "panels"),
    "beside_baselines": ("differences", "more"),
    "training": ("training", "panels"),
    "modality_values": ("modality_value", "panels"),
    "calibrations": ("calibration", "panels"),
    "groups": ("subgroups", "panels"),
}
# Variables that held functions which draw panels.
_GROUPS = {
    "absence": {
        "degradation": ("degradation", "panels"),
        "met": ("trained_with", "panels"),
        "masks": ("mask_predictability", "panels"),
        "costs": ("noninferiority", "panels"),
    },
    "risks": {
        "calibration": ("calibration_missing", "panels"),
        "decisions": ("decision_curve", "panels"),
        "conformal": ("conformal", "panels"),
        "silence": ("high_confidence_errors", "panels"),
    },
    "luck": {"ranks": ("method_ranking", "panels"), "seeds": ("method_ranking", "more")},
}


def legacy_context(data: ReportData) -> dict[str, Any]:
    """Return the variables of a template of version 0.1."""
    about = {"tasks": data.tasks, "series": data.series}
    trained = {record["name"] for record in data.runs}
    groups: dict[str, dict[str, Callable[[], Any]]] = {
        group: {name: partial(_panels, data, *place) for name, place in places.items()}
        for group, places in _GROUPS.items()
    }
    groups["absence"]["lost"] = partial(_values, data, "retained", "sentences")
    panels = _panels(data, "cohort", "panels")
    presence, splits = panels if panels else (None, None)
    return {
        **{name: getattr(data, name) for name in data.__dataclass_fields__},
        **{name: _panels(data, *place) for name, place in _PANELS.items()},
        **groups,
        "told": data.analysis,
        "unscored": _values(data, "not_scored", "rows"),
        "series": data.series,
        "methods": data.methods,
        "has_oracle": data.has_oracle,
        "presence": presence,
        "splits": splits,
        "gallery": _values(data, "retrieval_examples", "examples"),
        "findings": finding_sentences(
            data.scores,
            data.comparisons,
            tasks=data.tasks,
            series=[one for one in data.series if one.run not in data.baselines],
        ),
        "warnings": above_oracle_sentences(data.above_best, **about),
        "possible": oracle_sentences(data.oracle, cohort=data.cohort, tasks=data.tasks),
        "intervals": interval_sentence(data.results, tasks=data.tasks),
        "made_differently": code_difference_sentence(data.runs),
        "luck_of_training": seed_caveat([one for one in data.series if one.run in trained]),
    }


def _panels(data: ReportData, section: str, which: str) -> list[Any]:
    drawn = draw_sections([section], data)
    return [panel for one in drawn for panel in getattr(one.content, which)]


def _values(data: ReportData, section: str, which: str) -> list[Any]:
    return [value for one in draw_sections([section], data) for value in one.content.values[which]]
