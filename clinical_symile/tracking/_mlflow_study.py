"""Group the copies of a benchmark's runs in MLflow: the study, its methods, their seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from clinical_symile.hashing import payload_digest
from clinical_symile.tracking._mlflow_copies import (
    PARENT_TAG,
    CopyContent,
    bring_up_to_date,
    find_copies,
    nested_copies,
    remove_outdated,
    send_note,
    send_numbers,
    send_tags,
)
from clinical_symile.tracking._mlflow_files import REPORT_PAGE, send_changed_files
from clinical_symile.tracking._mlflow_payload import (
    KEY_TAG,
    SOURCE_TAGS,
    TAG_LENGTH,
    last_ms,
    method_tags,
    mlflow_name,
    run_key,
    started_ms,
)
from clinical_symile.tracking._mlflow_results import headline_metrics
from clinical_symile.tracking._sent_marks import (
    METRIC_NAMES,
    NOTE_SENT_TAG,
    NOTE_TAG,
    has_users_note,
    note_tags,
    sent_names,
)
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import RunSnapshot

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any

EXPERIMENT_NOTE = (
    "Results of runs on one cohort. A run has the headline numbers of each task, such as "
    "`recall_at_1 complete`, and its curves. Its tables, one for each task, have all numbers; "
    "`low` and `high` are the ends of the 95 % interval."
)
# The note of version 0.2.3 and earlier, which has no mark.
_EARLIER_NOTE = (
    "Results of runs on one cohort. A run has the headline numbers of each task, such as "
    "`recall_at_1 complete`, and its curves. Its child run of a task has all numbers, named "
    "task/missingness/metric; `.low` and `.high` are the ends of the 95 % interval."
)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A benchmark as MLflow shows it.

    Attributes:
        name: name of its report.
        folder: the benchmark's folder.
        runs: its runs, baselines and the oracle.
        finding: the answer of the report's first screen; empty for a report without one.
        page: the rendered report; None without one.
    """

    name: str
    folder: Path
    runs: Sequence[Run]
    finding: str
    page: Path | None


def send_study(
    client: MlflowClient, experiment: str, study: Study, *, cohort: str
) -> tuple[Copy, list[str], BaseException | None]:
    """Bring the run of a study up to date, with a run for each method of several seeds.

    The copies of the benchmark's runs are nested in their method's, else in the study's. They must
    have been sent before.

    Args:
        client: of the server or database.
        experiment: MLflow's name of the experiment.
        study: the benchmark.
        cohort: name of its cohort.

    Returns:
        The copy of the study, what was sent in words, and why its report was not stored.
    """
    runs = [run.snapshot() for run in study.runs]
    copies = {run.name: find_copies(client, experiment, run_key(run)) for run in runs}
    first = next((run for run in runs if _method(run)), runs[0])
    trained = chain.from_iterable(copies[run.name] for run in runs if _method(run))
    key = _key_of_study(client, study.name, trained)
    key = key or payload_digest("study", study.name, run_key(first))
    copy, is_new = _send_study_run(client, experiment, study, runs, key=key, cohort=cohort)
    methods = {
        method: seeds
        for method in dict.fromkeys(filter(None, map(_method, runs)))
        if len(seeds := [run for run in runs if _method(run) == method]) > 1
    }
    parents = {
        method: _send_method(client, copy, method, seeds, key=payload_digest(key, method))
        for method, seeds in methods.items()
    }
    for run in runs:
        parent = parents.get(_method(run), copy)
        for child in copies[run.name]:
            # Benchmarks on one store share their oracle: it stays in the study it came with.
            if _method(run) or not _is_in_a_study(client, child):
                send_tags(client, child, {PARENT_TAG: parent.info.run_id})
    _remove_methods(client, copy, kept={payload_digest(key, method) for method in methods})
    _describe_experiment(client, experiment, copy, study)
    files = {} if study.page is None else {REPORT_PAGE: study.page.read_bytes()}
    number, problem = send_changed_files(client, copy, files)
    sent = [*(["a new run"] * is_new), *(["the report"] * number)]
    return copy, sent, problem


def _key_of_study(client: MlflowClient, name: str, copies: Iterable[Copy]) -> str | None:
    """Return the key of the study that holds one of the copies; None for a new study.

    A study stays the same when some of its runs are trained again or others are added.
    """
    seen: dict[str, Copy] = {}
    for copy in copies:
        found = copy
        while (parent := found.data.tags.get(PARENT_TAG)) and parent not in seen:
            found = seen[parent] = client.get_run(parent)
            tags, is_active = found.data.tags, found.info.lifecycle_stage == "active"
            if is_active and (tags.get("role"), tags.get("report")) == ("study", name):
                return tags.get(KEY_TAG)
    return None


def _is_in_a_study(client: MlflowClient, copy: Copy) -> bool:
    parent = copy.data.tags.get(PARENT_TAG)
    found = client.get_run(parent) if parent else None
    return (
        found is not None
        and found.info.lifecycle_stage == "active"
        and found.data.tags.get("role") == "study"
    )


def _send_study_run(
    client: MlflowClient,
    experiment: str,
    study: Study,
    runs: Sequence[RunSnapshot],
    *,
    key: str,
    cohort: str,
) -> tuple[Copy, bool]:
    content = CopyContent(
        name=f"{study.name}: {study.folder.resolve().name}",
        start_ms=min(map(started_ms, runs)),
        tags={
            **{KEY_TAG: key, **SOURCE_TAGS},
            **{"role": "study", "cohort": cohort, "report": study.name},
        },
    )
    copy, is_new = bring_up_to_date(client, experiment, content, continues=lambda _: True)
    send_note(client, copy, study.finding)
    _end(client, copy, runs)
    return copy, is_new


def _send_method(
    client: MlflowClient, study: Copy, method: str, seeds: Sequence[RunSnapshot], *, key: str
) -> Copy:
    """Send the means over the seeds of a method."""
    found = [headline_metrics(run) for run in seeds]
    means = {
        name: fmean(numbers[name] for numbers in found)
        for name in found[0]
        if all(name in numbers for numbers in found)
    }
    tags = {
        **method_tags(seeds[0].metadata),
        "role": "method",
        "cohort": seeds[0].cohort,
        "seeds": ", ".join(str(run.metadata.get("seed")) for run in seeds),
    }
    content = CopyContent(
        name=method,
        start_ms=min(map(started_ms, seeds)),
        tags={
            **{KEY_TAG: key, **SOURCE_TAGS, PARENT_TAG: study.info.run_id},
            **{mlflow_name(name): str(value) for name, value in tags.items() if value},
        },
        metrics=frozenset(means),
    )
    copy, _ = bring_up_to_date(
        client,
        study.info.experiment_id,
        content,
        continues=lambda one: (
            sent_names(METRIC_NAMES, one.data.tags, one.data.metrics) <= set(means)
        ),
    )
    send_note(client, copy, _method_note(method, found, means))
    send_numbers(client, copy, means, at=max(run.evaluated_ms for run in seeds))
    _end(client, copy, seeds)
    return copy


def _method_note(
    method: str, found: Sequence[Mapping[str, float]], means: Mapping[str, float]
) -> str:
    lines = [
        f"Means of `{method}` over {len(found)} seeds.",
        "",
        "| metric | mean | standard deviation over seeds |",
        "|---|--:|--:|",
    ]
    lines += [
        f"| {name} | {mean:.3f} | {stdev(numbers[name] for numbers in found):.3f} |"
        for name, mean in means.items()
    ]
    return "\n".join(lines)


def _remove_methods(client: MlflowClient, study: Copy, *, kept: set[str]) -> None:
    """Remove the runs of methods that have no longer several seeds; what they hold moves up."""
    for method in nested_copies(client, study):
        tags = method.data.tags
        if tags.get("role") == "method" and tags.get(KEY_TAG, "") not in {"", *kept}:
            for run in nested_copies(client, method):
                send_tags(client, run, {PARENT_TAG: study.info.run_id})
            remove_outdated(client, [method])


def _describe_experiment(client: MlflowClient, experiment: str, copy: Copy, study: Study) -> None:
    """Put the finding of the study and a link to its report above the experiment's note."""
    tags = client.get_experiment(experiment).tags
    is_earlier = NOTE_SENT_TAG not in tags and tags.get(NOTE_TAG) == _EARLIER_NOTE
    if has_users_note(tags) and not is_earlier:
        return
    place = f"#/experiments/{experiment}/runs/{copy.info.run_id}"
    link = f"[{study.name}]({place}{'/artifacts/report.html' if study.page else ''})"
    note = "\n\n".join([*filter(None, [study.finding]), f"Report: {link}.", EXPERIMENT_NOTE])
    for key, value in note_tags(note[:TAG_LENGTH]).items():
        if tags.get(key) != value:
            client.set_experiment_tag(experiment, key, value)


def _end(client: MlflowClient, copy: Copy, runs: Sequence[RunSnapshot]) -> None:
    if copy.info.status != "FINISHED":
        client.set_terminated(copy.info.run_id, "FINISHED", max(map(last_ms, runs)))


def _method(run: RunSnapshot) -> str:
    """Return the pretraining task of a trained run; empty for all others."""
    return str(run.metadata.get("task", ""))
