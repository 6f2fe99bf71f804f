"""Renders a template of `reports/`: one file that needs nothing else to be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from clinical_symile import formatting
from clinical_symile.config.catalog import builtin_catalog_directory
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.reporting.result_lookup import ORACLE, ResultTable, method_series
from clinical_symile.reporting.sections.retrieval_examples import Answers, gallery
from clinical_symile.reporting.text import labels
from clinical_symile.reporting.text.summary import (
    above_the_best,
    findings,
    how_intervals_were_made,
    luck_of_training,
    made_differently,
    possible,
)
from clinical_symile.tracking.analysis_tables import (
    MaskAuroc,
    MethodRank,
    RunAnalysis,
    SeedComponents,
)
from clinical_symile.tracking.results import Comparison, Result, SkippedResult

OPEN = "open"


def is_synthetic(cohort: Mapping[str, Any]) -> bool:
    """Whether a manifest is of people who do not exist, who alone may be shown one by one.

    Open access is not enough: recordings of real people may be open.
    """
    return cohort["access"] == OPEN and cohort["generator"] is not None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that a report is made from: numbers about many, never a row of one.

    Attributes:
        results: of all runs, and of `oracle` where there is one.
        comparisons: of pairs of runs.
        unscored: what could not be scored, and why.
        notes: what else the reader must know, such as tasks that do not apply.
        runs: what each `run.toml` says.
        histories: each run's line per epoch, by its name.
        cohort: title, description, access, digest, counts, left_out, rejected and generator, as the
            store's manifest has them.
        tasks: for each that was scored: kind, description, primary, higher_is_better; query and
            target, or inputs and outcome.
        above_best: primary results above the oracle's: the difference on the same samples, with an
            interval of 95 % for all that were tested together.
        tested: how many primary results were held against the oracle's.
        oracle: what is exactly true of the made-up world: total_correlation_nats, and for each task
            with nothing missing recall_at_1 or auroc; None where nobody knows.
        gallery: examples to draw; shown only if the cohort is open and made up.
        versions: of what it was made with.
        elapsed_s: how long all of it took, where that is known.
        losses: of each run under each pattern, minus what it scores with nothing missing.
        seeds: variance over seeds and over people, of methods with several seeds.
        ranks: of methods, over tasks.
        masks: how well outcomes are predicted from what is missing alone.
        told: calibration, decision curves, values of modalities and subgroups, of all runs.
        baselines: what each run that is a baseline does.
    """

    results: Sequence[Result]
    comparisons: Sequence[Comparison]
    unscored: Sequence[SkippedResult]
    notes: Sequence[str]
    runs: Sequence[Mapping[str, Any]]
    histories: Mapping[str, Sequence[Mapping[str, int | float]]]
    cohort: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    above_best: Sequence[Comparison]
    tested: int
    oracle: Mapping[str, Any] | None
    gallery: Sequence[Answers]
    versions: Mapping[str, str]
    elapsed_s: float | None
    losses: Sequence[Comparison] = ()
    seeds: Sequence[SeedComponents] = ()
    ranks: Sequence[MethodRank] = ()
    masks: Sequence[MaskAuroc] = ()
    told: RunAnalysis = field(default_factory=RunAnalysis)
    baselines: Mapping[str, str] = field(default_factory=dict)


def render(template: Path, *, data: ReportData, out: Path) -> None:
    """Write a report; the file appears only when it is whole.

    The same data give the same bytes.

    Args:
        template: a file of `reports/`.
        data: what it is made from.
        out: the HTML file.

    Raises:
        DefinitionError: the template does not parse, or asks for something that it is not given.
        DataError: there is nothing to report.
    """
    if not data.results:
        raise DataError(f"{out}: no results to report. Train and evaluate first.")
    render_page(template, context=_context(data), out=out)


def render_page(template: Path, *, context: Mapping[str, Any], out: Path) -> None:
    """Write a page; the file appears only when it is whole.

    Args:
        template: a file of `reports/`.
        context: what it is given.
        out: the HTML file.

    Raises:
        DefinitionError: the template does not parse, or asks for something that it is not given.
    """
    try:
        text = _environment(template.parent).get_template(template.name).render(context)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f"{template}, line {line}" if line else str(template)
        raise DefinitionError(
            f"{where}: {error}. reports/README.md says what a template is given."
        ) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(out)


def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, builtin_catalog_directory() / "reports"]),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "missing_modality": labels.missing_modality_label,
        "count": formatting.format_count,
        "duration": formatting.format_duration,
        "listed": formatting.join_words,
        "meaning": labels.metric_description,
        "metric": labels.metric_label,
        "modality": labels.modality_label,
        "pattern": labels.pattern_label,
    }
    return environment


def _context(data: ReportData) -> dict[str, Any]:
    """The data as they are, and the pictures drawn from them."""
    # It draws, and what draws takes a second to load: `list` must not wait for it.
    from clinical_symile.reporting.sections import analysis as measure_panels
    from clinical_symile.reporting.sections import missingness as absence_panels
    from clinical_symile.reporting.sections import overview as panels
    from clinical_symile.reporting.sections import risk as risk_panels
    from clinical_symile.reporting.sections.comparisons import differences
    from clinical_symile.reporting.sections.method_ranking import ranks, seeds
    from clinical_symile.reporting.sections.noninferiority import costs

    scores, series = ResultTable(data.results), method_series(data.runs, data.results)
    about = {"tasks": data.tasks, "series": series}
    made_up = is_synthetic(data.cohort)
    by_task = {str(record.get("task")): str(record["name"]) for record in data.runs}
    by_run = {one.run: one for one in series}
    by_method = {**by_run, **{task: by_run[name] for task, name in by_task.items()}}
    measured = partial(risk_panels.measured, data.told.measures, **about)
    beside = [row for row in data.comparisons if {row.run, row.baseline} & data.baselines.keys()]
    return {
        **{name: getattr(data, name) for name in data.__dataclass_fields__},
        "unscored": [
            row if made_up else replace(row, reason=formatting.mask_small_counts(row.reason))
            for row in data.unscored
        ],
        "series": series,
        "methods": list({one.method: one for one in reversed(series)}.values())[::-1],
        # Baselines stand in the pictures and tables; sentences on each pair would hide the others.
        "findings": findings(
            scores,
            data.comparisons,
            tasks=data.tasks,
            series=[one for one in series if one.run not in data.baselines],
        ),
        "luck_of_training": luck_of_training(
            [one for one in series if one.run in {record["name"] for record in data.runs}]
        ),
        "intervals": how_intervals_were_made(data.results, tasks=data.tasks),
        "possible": possible(data.oracle, cohort=data.cohort, tasks=data.tasks),
        "made_differently": made_differently(data.runs),
        "warnings": above_the_best(data.above_best, **about),
        "retrieval": panels.levels(scores, **about, kind="retrieval", whole=True),
        "retrieval_missing": panels.levels(scores, **about, kind="retrieval", whole=False),
        "classification": panels.levels(scores, **about, kind="classification", whole=True),
        "classification_missing": panels.levels(
            scores, **about, kind="classification", whole=False
        ),
        # Drawn where a template calls them: most reports do not.
        "absence": {
            "lost": partial(absence_panels.retained_section, scores, **about),
            "degradation": partial(absence_panels.degradation, scores, **about),
            "met": partial(absence_panels.trained_with_met_with, scores, data.comparisons, **about),
            "masks": partial(
                absence_panels.mask_predictability_section, data.masks, scores, tasks=data.tasks
            ),
            "costs": partial(costs, data.losses, scores, **about),
        },
        "risks": {
            "calibration": partial(measured, risk_panels.CALIBRATION, slug="calibrated"),
            "decisions": partial(risk_panels.decisions, data.told.net_benefit, **about),
            "conformal": partial(measured, risk_panels.CONFORMAL, slug="conformal"),
            "silence": partial(measured, risk_panels.SILENCE, slug="silence"),
        },
        "luck": {
            "ranks": partial(ranks, data.ranks, methods=by_method),
            "seeds": partial(seeds, data.seeds, methods=by_method, tasks=data.tasks),
        },
        "differences": differences(
            [row for row in data.comparisons if row not in beside], **about, slug="difference"
        ),
        "beside_baselines": differences(beside, **about, slug="beside"),
        "training": panels.training(
            data.histories,
            series=series,
            total_correlation=(data.oracle or {}).get("total_correlation_nats"),
        ),
        "presence": panels.presence_panel(data.cohort),
        "splits": panels.cohort_table(data.cohort),
        "modality_values": measure_panels.modality_values(data.told, **about),
        "calibrations": measure_panels.calibrations(data.told, **about),
        "groups": measure_panels.subgroups(data.told, **about),
        "gallery": gallery(data.gallery, **about) if made_up else [],
        "has_oracle": any(row.run == ORACLE for row in data.results),
    }
