import base64
import csv
import hashlib
import html
import inspect
import io
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from clinical_symile.errors import DataError, DefinitionError, RenamedWordWarning
from clinical_symile.formatting import mask_small_counts
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import SECTIONS
from clinical_symile.reporting.render import render
from clinical_symile.reporting.report_data import ReportData, data_names
from clinical_symile.reporting.result_lookup import ResultTable, method_series
from clinical_symile.reporting.sections.missingness import trained_with_panels
from clinical_symile.tracking.results import SkippedResult
from tests.helpers.report_data import (
    FIRST,
    OUTCOME,
    TASKS,
    made_cohort,
    made_data,
    made_gallery,
    made_history,
    made_run,
    of_markers,
    of_pairs,
    of_sets,
    of_shares,
    of_ways,
    real_cohort,
    with_all_that_is_told,
    with_all_there_is,
)

REPORTS = Path(__file__).resolve().parents[2] / "reports"
REPORT = REPORTS / "benchmark" / "report.toml"


@cache
def default_page() -> str:
    """The report of `made_data()`, which many tests read."""
    with tempfile.TemporaryDirectory() as folder:
        return rendered(Path(folder), made_data())


def rendered(tmp_path: Path, data: ReportData | None = None) -> str:
    if data is None:
        return default_page()
    out = tmp_path / "report.html"
    render(REPORT, data=data, out=out)
    return out.read_text(encoding="utf-8")


def test_what_is_lost_is_told_with_pictures_and_their_tables(tmp_path: Path):
    data, out = of_ways(with_all_that_is_told(with_all_there_is())), tmp_path / "report.html"
    render(REPORTS / "missingness" / "report.toml", data=data, out=out)
    text = out.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.uses) <= set(page.ids)
    assert (
        "hides some modalities on purpose during training; 50 % missing at random during training."
        in words(text)
    )
    assert "missing_modality = dropout" in words(text)
    assert "A model of others." in words(text)
    own = "by the BCa method; by percentiles for AUPRC and Brier score. Of differences, groups and"
    assert own in words(text)
    masks = words(text.partition('class="masks"')[2])
    assert "hidden rate digest of the mask" in masks
    assert "ecg 0.0 %, labs 0.0 % 0123" in masks
    assert len(re.findall("<figure", text)) == text.count("<table>") > 0
    series = method_series(data.runs, [row.run for row in data.results])
    about: dict[str, Any] = {"tasks": data.tasks, "series": series}
    met = trained_with_panels(ResultTable(data.results), data.comparisons, **about)
    assert all(panel.title in html.unescape(text) for panel in met)
    said = words(text)
    for heading in (
        "What does a missing modality cost?",
        "Do predicted risks stay correct when modalities are missing?",
        "Does it make errors with high confidence?",
        "Can it say “cannot tell”?",
        "Would acting on the predictions help?",
        "Does the missingness mask reveal the outcome?",
        "Which method ranks first, and how much depends on the seed?",
    ):
        assert heading in said


def test_baselines_stand_beside_and_do_not_widen_what_methods_are_compared_on(tmp_path: Path):
    data = made_data(tasks=(FIRST, OUTCOME))
    plain = rendered(tmp_path, data)
    told = [row for row in data.results if row.task == OUTCOME and row.run == "clip-0"]
    row = next(row for row in data.comparisons if row.task == OUTCOME)
    far = replace(row, baseline="prevalence", difference=0.4, low=0.35, high=0.45)
    page = rendered(
        tmp_path,
        replace(
            data,
            results=[*data.results, *(replace(row, run="prevalence") for row in told)],
            comparisons=[*data.comparisons, far],
            baselines={"prevalence": "The same risk for everybody."},
        ),
    )
    pictures = [
        re.findall(r'id="differences-[a-z_-]*Symile-or-CLIP-title.*?</svg>', text, re.S)
        for text in (plain, page)
    ]
    assert pictures[0] == pictures[1]
    assert pictures[0]
    assert "The same risk for everybody." in words(page)
    assert "Each run against each baseline" in words(page)
    assert 'or-prevalence-title"' in page
    asked = page[page.index("<h2>Is the correct candidate") : page.index("<h2>Can an outcome be")]
    assert "prevalence" not in words(asked)


def words(page: str) -> str:
    """What a reader sees, in one line."""
    page = re.sub(r"<(style|title|script)\b.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


class Page(HTMLParser):
    """Collects what a page would load, its ids, and checks that every element is closed."""

    EMPTY = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.loads, self.ids, self.uses, self.open = [], [], [], []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("src", "srcset", "data", "action", "poster") or (
                key == "href" and not (value or "").startswith("#")
            ):
                self.loads.append(value or "")
            if key == "id":
                self.ids.append(value)
            if key in ("href", "clip-path"):
                self.uses.append(re.sub(r"^url\(|\)$", "", value or "").removeprefix("#"))
        if tag in ("link", "iframe", "object", "embed"):
            self.loads.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("data", [made_data(), with_all_there_is()], ids=["few", "many"])
def test_a_report_loads_nothing(tmp_path: Path, data: ReportData):
    text = rendered(tmp_path, data)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert len(page.ids) == len(set(page.ids))
    assert set(page.uses) <= set(page.ids)


def test_the_same_data_give_the_same_bytes(tmp_path: Path):
    data = made_data(gallery=made_gallery())
    assert rendered(tmp_path, data) == rendered(tmp_path, data)


def test_the_first_sentences_are_made_from_the_numbers(tmp_path: Path):
    said = words(rendered(tmp_path)).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "With ECG and labs at hand, Symile finds the correct chest X-ray first in 71 % of queries "
        "(68 to 74 %), CLIP in 36 % (33 to 39 %). The oracle reaches 76 % and chance level is "
        "10 %. On the same samples, Symile is better than CLIP by 35.0 points (31.0 to 39.0)."
    ) in said
    assert (
        "The largest loss is without ECG: Symile 14 % and CLIP 24 %, where the oracle "
        "reaches 27 %. On the same samples, CLIP is better than Symile by 10.0 points "
        "(6.0 to 14.0)."
    ) in said
    assert "the AUROC of Symile is 0.90 (0.87 to 0.93), of CLIP 0.55 (0.52 to 0.58)" in said


def test_it_says_so_where_the_baseline_is_better_or_nobody_knows(tmp_path: Path):
    data = made_data()
    (first, *_) = data.comparisons
    worse = replace(first, difference=-0.05, low=-0.08, high=-0.02)
    said = words(rendered(tmp_path, replace(data, comparisons=[worse])))
    assert "CLIP is better than Symile by 5.0 points (2.0 to 8.0)" in said
    assert "Symile is better than" not in said
    even = replace(first, difference=0.01, low=-0.02, high=0.04)
    said = words(rendered(tmp_path, replace(data, comparisons=[even])))
    assert "Symile minus CLIP is +1.0 points (\N{MINUS SIGN}2.0 to +4.0): the interval" in said
    assert "do not tell which is better" in said
    assert "is better than" not in said


def test_a_difference_shows_on_which_side_who_is_better(tmp_path: Path):
    text = rendered(tmp_path)
    assert text.index("← CLIP is better") < text.index("Symile is better →")
    tasks = {OUTCOME: TASKS[OUTCOME] | {"primary": "brier", "higher_is_better": False}}
    row = replace(made_data().comparisons[-1], metric="brier")
    text = rendered(tmp_path, made_data(tasks=(OUTCOME,), comparisons=[row]))
    assert "is better →" not in text
    data = replace(made_data(tasks=(OUTCOME,)), tasks=tasks, comparisons=[row])
    assert "← Symile is better" in rendered(tmp_path, data)


def test_lower_can_be_better(tmp_path: Path):
    data = made_data()
    tasks = {OUTCOME: TASKS[OUTCOME] | {"primary": "brier", "higher_is_better": False}}
    row = next(c for c in data.comparisons if c.task == OUTCOME)
    row = replace(row, metric="brier", difference=-0.05, low=-0.08, high=-0.02)
    said = words(rendered(tmp_path, replace(data, tasks=tasks, comparisons=[row])))
    assert "Symile is better than CLIP by 0.050 (0.020 to 0.080)" in said


def test_seeds_are_listed_and_never_averaged(tmp_path: Path):
    said = words(rendered(tmp_path, with_all_there_is())).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "Symile finds the correct chest X-ray first in 71 %, 72 % and 73 % of queries (3 seeds)"
        in said
    )
    assert "Symile is better than CLIP with 3 of 3 seeds" in said
    for label in ("Symile, seed 2", "CLIP, seed 0", "Triple, seed 1"):
        assert label in said


def test_that_one_training_may_be_lucky_is_said_where_there_is_one(tmp_path: Path):
    said = words(rendered(tmp_path))
    assert "do not include the variance over seeds. Symile and CLIP were each trained once" in said
    assert "variance over seeds." not in words(rendered(tmp_path, made_data(seeds=(0, 1))))


def test_a_run_better_than_possible_is_pointed_out(tmp_path: Path):
    data = made_data()
    assert "Better than is possible" not in words(rendered(tmp_path))
    row = replace(data.comparisons[0], run="clip-0", baseline="oracle", missingness="without-ecg")
    luck = replace(row, difference=0.02, low=-0.01, high=0.05)
    said = words(rendered(tmp_path, replace(data, above_best=[luck])))
    assert "Better than is possible" not in said
    leak = replace(row, difference=0.2, low=0.12, high=0.28)
    said = words(rendered(tmp_path, replace(data, above_best=[leak])))
    assert "Better than is possible. 8 results were compared with the oracle" in said
    assert re.search(
        r"CLIP, find the chest X-ray .{,30}without ECG: recall@1 differs from the oracle by "
        r"\+20.0 points \(\+12.0 to \+28.0\)\.",
        said,
    )


def test_how_intervals_were_made_is_said_as_tasks_ask_and_as_it_came(tmp_path: Path):
    data = made_data()
    asked = {name: {**task, "interval": "bca"} for name, task in data.tasks.items()}
    chosen = {**asked, OUTCOME: {**asked[OUTCOME], "interval": "percentile"}}

    def said(interval: str, of: str, tasks: dict[str, Any]) -> str:
        results = [
            replace(row, interval=interval if row.task == of else "bca") for row in data.results
        ]
        return words(rendered(tmp_path, replace(data, results=results, tasks=tasks)))

    undefined = "or by percentiles where it is not defined"
    assert undefined not in said("bca", OUTCOME, asked)
    assert undefined in said("percentile", OUTCOME, asked)
    of_one = said("percentile", OUTCOME, chosen)
    assert undefined not in of_one
    assert "by the BCa method; by percentiles, as “Predict deterioration" in of_one
    assert undefined in said("percentile", FIRST, chosen)
    # Where no task names one, each metric has its own.
    free = {name: {**task, "interval": None} for name, task in data.tasks.items()}
    assert undefined not in said("bca", OUTCOME, free)
    page = words(rendered(tmp_path, replace(data, tasks=free)))
    assert "by the BCa method; by percentiles for AUPRC and Brier score. Of differences" in page


def test_runs_of_different_code_or_versions_are_pointed_out(tmp_path: Path):
    data = made_data()
    assert "made with the same code" not in words(rendered(tmp_path))
    one, other = data.runs
    runs = [
        {**one, "versions": {"torch": "2.14.0", "numpy": "2.4.6"}},
        {**other, "versions": {"torch": "2.15.0", "numpy": "2.4.6"}, "git_commit": "ab12+changes"},
    ]
    said = words(rendered(tmp_path, replace(data, runs=runs)))
    assert "same code: commits 4b825dc642cb and ab12 with changes; torch 2.14.0 and 2.15.0." in said


def test_what_is_exactly_possible_is_said(tmp_path: Path):
    assert "What is possible" not in words(rendered(tmp_path))
    oracle = {
        "total_correlation_nats": 2.9,
        "recall_at_1": {FIRST: 0.7654},
        "auroc": {OUTCOME: 0.9012, "classification/not_here": 0.8},
    }
    said = words(rendered(tmp_path, made_data(oracle=oracle)))
    assert "Chest X-ray, ECG and labs share 2.90 nats of information (4.18 bits)" in said
    assert (
        "Find the chest X-ray from ECG and labs: recall@1 of the oracle is 76.5\N{NO-BREAK SPACE}%"
        in (html.unescape(rendered(tmp_path, made_data(oracle=oracle))))
    )
    assert "AUROC of the oracle is 0.901." in said


def test_without_an_oracle_no_figure_names_one(tmp_path: Path):
    data = made_data()
    results = [row for row in data.results if row.run != "oracle"]
    said = words(rendered(tmp_path, replace(data, results=results, cohort=real_cohort())))
    assert "oracle" not in said
    assert "chance level" in said


@pytest.mark.parametrize("n", [1, 9])
def test_a_count_below_ten_is_not_shown(tmp_path: Path, n: int):
    cohort = made_cohort(left_out={"rare-reason": n, "frequent-reason": 10 + n})
    said = words(rendered(tmp_path, made_data(cohort=cohort)))
    assert "rare-reason <10" in said
    assert f"frequent-reason {10 + n}" in said
    results = [replace(row, n_samples=n, n_subjects=n) for row in made_data().results]
    said = words(rendered(tmp_path, made_data(results=results)))
    assert re.search(r"chance samples nothing missing [^<]*<10", said)


def test_a_small_count_in_a_reason_is_not_shown_unless_people_are_made_up(tmp_path: Path):
    reason = "3 of 7 queries have no label; 12 have; 1,204 and 0.5 stay, and mcar-5."
    row = SkippedResult(
        run="clip-0", cohort="x", task=FIRST, missingness="observed", reason=reason, digest="0"
    )
    hidden = "<10 of <10 queries have no label; 12 have; 1,204 and 0.5 stay, and mcar-5."
    assert mask_small_counts(reason) == hidden
    assert hidden in words(rendered(tmp_path, made_data(unscored=[row], cohort=real_cohort())))
    assert reason in words(rendered(tmp_path, made_data(unscored=[row])))


def test_what_others_wrote_is_escaped(tmp_path: Path):
    attack = '<script>alert("x")</script>'
    cohort = made_cohort(title=attack, left_out={attack: 50})
    unscored = [
        SkippedResult(
            run="clip-0", cohort="c", task=FIRST, missingness=attack, reason=attack, digest="d"
        )
    ]
    runs = [made_run("symile", 0) | {"task": attack}, made_run("clip", 0)]
    data = made_data(cohort=cohort, unscored=unscored, notes=[attack], runs=runs)
    text = rendered(tmp_path, data)
    assert attack not in text
    assert text.count("<script") == 1  # the page's own
    assert text.count("&lt;script&gt;") >= 5


def test_the_gallery_is_drawn_for_made_up_people_only(tmp_path: Path):
    data = made_data(gallery=made_gallery())
    text = rendered(tmp_path, data)
    assert "data:image/png" in text
    assert "Creatinine" in text
    for change in ({"access": "credentialed"}, {"generator": None}):
        text = rendered(tmp_path, replace(data, cohort=made_cohort(**change)))
        assert "data:image/png" not in text
        assert "Creatinine" not in text


def test_the_true_total_correlation_stands_beside_its_estimates_where_it_is_known(tmp_path: Path):
    history = [{**line, "tuning/tc_estimate": 0.4} for line in made_history()]
    known = {"total_correlation_nats": 1.2345, "recall_at_1": {}, "auroc": {}}
    without, beside = (
        rendered(tmp_path, made_data(histories={"symile-0": history}, oracle=oracle))
        for oracle in (None, known)
    )
    title = "Total correlation in nats, estimated on tuning samples"
    assert title in words(without)
    assert f"{title}; the horizontal line is the true value, 1.23 nats" in words(beside)
    assert "the horizontal line" not in words(without)


def test_a_report_of_one_run_and_one_task_is_whole(tmp_path: Path):
    data = made_data(objectives=("clip",))
    results = [row for row in data.results if (row.run, row.task) == ("clip-0", FIRST)]
    data = replace(data, results=results, comparisons=[], histories={}, gallery=[], elapsed_s=None)
    said = words(rendered(tmp_path, data))
    assert "CLIP finds the correct chest X-ray first" in said
    assert "How training went" not in said
    assert "Can an outcome be predicted" not in said


def test_a_task_that_a_run_was_not_scored_on_is_said(tmp_path: Path):
    data = made_data()
    results = [r for r in data.results if (r.run, r.missingness) != ("clip-0", "without-ecg")]
    assert "not scored" in words(rendered(tmp_path, replace(data, results=results)))


def test_where_the_primary_metric_is_not_known_the_others_are_told_and_no_sentence_is_made(
    tmp_path: Path,
):
    data = made_data(tasks=(OUTCOME,))
    rows = [r for r in data.results if r.missingness == "complete" and r.metric == "brier"]
    said = words(rendered(tmp_path, replace(data, results=rows, comparisons=[], histories={})))
    assert "To predict" not in said
    assert "Can an outcome be predicted? " in said
    assert "Brier score" in said


def test_sentences_are_of_the_fullest_pattern_that_a_run_was_scored_under(tmp_path: Path):
    data = made_data(objectives=("clip",))
    known = ("without-ecg", "mcar-30")
    rows = [r for r in data.results if r.run == "oracle" or r.missingness in known]
    data = replace(data, results=rows, comparisons=[], histories={})
    said = words(rendered(tmp_path, data)).replace("\N{NO-BREAK SPACE}", " ")
    assert "Without ECG, CLIP finds the correct chest X-ray first in 24 % of queries" in said
    assert "without ECG, the AUROC of CLIP is 0.43 (0.40 to 0.46). The oracle" in said
    assert "The largest loss" not in said
    assert "Can an outcome be predicted? " in said
    assert "30 % missing at random" in said


def test_numbers_that_are_not_finite_do_not_break_a_report(tmp_path: Path):
    data = made_data()
    nan = float("nan")
    results = [
        replace(r, value=nan, low=nan, high=nan) if r.run == "clip-0" else r for r in data.results
    ]
    comparisons = [replace(c, difference=nan, low=nan, high=nan) for c in data.comparisons]
    assert "\N{EN DASH}" in rendered(
        tmp_path, replace(data, results=results, comparisons=comparisons)
    )


def test_nothing_to_report_is_said(tmp_path: Path):
    with pytest.raises(DataError, match="no results to report"):
        render(REPORT, data=made_data(results=[]), out=tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{{ resutls }}", "'resutls' is undefined"),
        ("{{ cohort.titel }}", "no attribute 'titel'"),
        ("{% for x in %}", "line 1"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ cohort.__init__.__globals__ }}", "unsafe|no attribute"),
        ("{% include '../secret.txt' %}", "secret"),
    ],
)
def test_a_template_that_uses_an_unknown_variable_is_refused(
    tmp_path: Path, body: str, message: str
):
    report = tmp_path / "report.toml"
    report.write_text('description = "Mine."\n')
    report.with_name("template.html.j2").write_text(body)
    out = tmp_path / "out" / "report.html"
    with pytest.raises(DefinitionError, match=rf"(?s)template\.html\.j2.*{message}"):
        render(report, data=made_data(), out=out)
    assert not out.exists()


def test_a_template_that_is_not_utf_8_is_one_sentence(tmp_path: Path):
    report = tmp_path / "report.toml"
    report.write_text('description = "Mine."\n')
    report.with_name("template.html.j2").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(DefinitionError, match=r"template\.html\.j2: UnicodeDecodeError"):
        render(report, data=made_data(), out=tmp_path / "page.html")


def test_an_own_report_is_a_list_of_sections(tmp_path: Path):
    report = tmp_path / "report.toml"
    report.write_text('description = "Mine."\ntitle = "Mine"\nsections = ["retrieval"]\n')
    render(report, data=made_data(), out=tmp_path / "page.html")
    said = words((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Is the correct candidate found?" in said
    assert "How training went" not in said
    report.write_text('description = "Mine."\nsections = ["retreival"]\n')
    with pytest.raises(DefinitionError, match="did you mean 'retrieval'"):
        render(report, data=made_data(), out=tmp_path / "page.html")


OLD_TEMPLATE = """{#
description = "Of version 0.1."
seeds = [0, 1]
#}
{% from "shared/panels.j2" import grid, legend, swatch, table with context %}
{% from "shared/risks.j2" import acted_on, believed, covered, first, silent, without with context %}
{% for sentence in findings %}{{ sentence }}{% endfor %}
{{ legend(beside=false) }}{{ grid(retrieval) }}{{ grid(absence.degradation()) }}{{ without() }}
{{ silent() }}{{ believed() }}{{ first() }}{% for name in tasks %}{{ name }}{% endfor %}
{{ table(presence) }}{{ luck_of_training }}{{ "omit" | absence }}{{ told.measures | length }}
"""


def test_a_template_of_version_0_1_is_rendered_with_a_warning(tmp_path: Path):
    template = tmp_path / "mine.html.j2"
    template.write_text(OLD_TEMPLATE)
    data = with_all_that_is_told(made_data())
    with pytest.warns(RenamedWordWarning, match=r"mine/report\.toml"):
        render(template, data=data, out=tmp_path / "page.html")
    said = words((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Symile finds the correct chest X-ray first" in said
    assert "Does it fail silently?" in said


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_states_exactly_what_it_needs(name: str):
    section = resolve(name, SECTIONS)
    assert section.name == name
    assert list(inspect.signature(section.draw).parameters) == list(section.needs)
    assert set(section.needs) <= data_names()


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(tmp_path_factory.mktemp("plain"))


def test_the_contents_lead_to_every_section_below_the_first_screen(plain_page: str):
    text = plain_page
    nav = text[text.index("<nav") : text.index("</nav>")]
    entries = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', nav)
    headings = re.findall(r'<section id="([^"]+)">\s*<h2>([^<]+)</h2>', text)
    assert entries == headings
    assert len(entries) > 5
    assert entries[0][1] == "Who is included, and who was left out"
    assert text.index('class="answer"') < text.index("<nav") < text.index("<h2>")


def test_the_first_screen_has_answer_figure_subjects_and_one_caveat(plain_page: str):
    text = plain_page
    first = text[text.index('<section class="answer"') : text.index("<nav")]
    answers = first[: first.index("</ul>")]
    assert 1 <= answers.count("<li>") <= 3
    assert first.count("<svg") == 1
    assert "<dt>Who</dt>" in first
    assert first.count("<dt>Caveat</dt>") == 1
    assert "do not include the variance over seeds" in first


def test_the_first_screen_withholds_the_subjects_of_a_small_split(tmp_path: Path):
    cohort = made_cohort()
    counts = {name: {**split, "subjects": 400} for name, split in cohort["counts"].items()}
    counts["tuning"] = {**counts["tuning"], "subjects": 7}
    text = rendered(tmp_path, made_data(cohort={**cohort, "counts": counts}))
    who = words(re.findall(r"<dt>Who</dt><dd>(.*?)</dd>", text)[0])
    assert "<10 to select" in who
    assert "807" not in who
    assert "7" not in who


def test_the_policy_of_a_page_allows_its_own_script_alone(plain_page: str):
    text = plain_page
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text
    assert "default-src 'none'" in text
    for word in ("fetch(", "XMLHttpRequest", "import(", "sendBeacon", "WebSocket"):
        assert word not in script


# Runs beside the page's own script: clicks every button and writes down what would be saved.
_CLICK_ALL = """<pre id="saved"></pre><script>
  const saved = []
  HTMLAnchorElement.prototype.click = function () { saved.push([this.download, this.href]) }
  onload = async () => {
    const buttons = [...document.querySelectorAll(".get button")]
    const count = (name) => buttons.filter(one => one.textContent === name).length
    buttons.filter(one => one.closest(".answer")).forEach(one => one.click())
    for (let n = 0; saved.length < 3 && n < 100; n++) await new Promise(r => setTimeout(r, 50))
    const found = {svg: count("SVG"), png: count("PNG"), csv: count("CSV"), files: {}}
    for (const [name, address] of saved) {
      const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer())
      found.files[name] = btoa(Array.from(bytes, one => String.fromCharCode(one)).join(""))
    }
    document.querySelector("#saved").textContent = JSON.stringify(found)
  }
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
def test_figures_and_tables_are_downloaded_from_the_page(tmp_path: Path, plain_page: str):
    assert CHROMIUM is not None
    text = plain_page
    body = text[: text.index("<script>")]
    figures, tables = body.count("<svg "), body.count("<table")
    page = tmp_path / "clicked.html"
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page.write_text(open_page.replace("</body>", f"{_CLICK_ALL}</body>"), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120
    ).stdout
    told = re.findall(r'<pre id="saved">(.*?)</pre>', shown, flags=re.S)
    found = json.loads(html.unescape(told[0]))
    assert (found["svg"], found["png"], found["csv"]) == (figures, figures, tables)
    files = {name: base64.b64decode(each) for name, each in found["files"].items()}
    assert files.keys() == {"answer.svg", "answer.png", "answer.csv"}
    drawing = ElementTree.fromstring(files["answer.svg"])
    written = "".join(drawing.itertext())
    assert "Symile" in written
    assert "CLIP" in written
    assert b"var(" not in files["answer.svg"]
    with Image.open(io.BytesIO(files["answer.png"])) as image:
        assert image.size[0] > 1000
        assert len(image.convert("RGB").getcolors(100_000) or []) > 4
    rows = list(csv.reader(io.StringIO(files["answer.csv"].decode())))
    assert rows[0] == ["modalities", "Symile", "CLIP", "oracle", "chance", "samples"]
    assert all(len(row) == len(rows[0]) for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
@pytest.mark.parametrize("name", ["benchmark", "missingness"])
def test_a_report_has_at_most_six_screens_until_it_is_unfolded(tmp_path: Path, name: str):
    assert CHROMIUM is not None
    data = of_ways(with_all_that_is_told(with_all_there_is()))
    render(REPORTS / name / "report.toml", data=data, out=tmp_path / "report.html")
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(
        """<iframe src="report.html" style="width:1100px;height:700px;border:0"></iframe><p></p>
        <script>onload = () => {
          const inner = document.querySelector("iframe").contentDocument
          document.querySelector("p").textContent = "high " + inner.documentElement.scrollHeight
        }</script>"""
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--allow-file-access-from-files"]
    shown = subprocess.run(
        [*command, "--dump-dom", wrapper.as_uri()], capture_output=True, text=True, timeout=120
    ).stdout
    found = re.search(r"<p>high (\d+)</p>", shown)
    assert found is not None, shown[-500:]
    assert int(found[1]) <= 6 * 700


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open the report with")
@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("benchmark", (390,)),
        pytest.param("benchmark", (1280,), marks=pytest.mark.slow),
        pytest.param("missingness", (390,), marks=pytest.mark.slow),
    ],
)
def test_nothing_overflows_and_nothing_is_complained_of_in_a_browser(
    tmp_path: Path, name: str, widths: tuple[int, ...]
):
    assert CHROMIUM is not None
    data = of_ways(with_all_that_is_told(with_all_there_is()))
    report, wrapper = tmp_path / "report.html", tmp_path / "wrapper.html"
    render(REPORTS / name / "report.toml", data=data, out=report)
    frames = "".join(
        f'<iframe src="report.html" style="width:{width}px;height:900px;border:0"></iframe><p></p>'
        for width in widths
    )
    wrapper.write_text(
        f"""{frames}
        <script>onload = () => document.querySelectorAll("iframe").forEach(frame => {{
          const inner = frame.contentDocument, width = frame.clientWidth
          inner.querySelectorAll("details").forEach(one => one.open = true)
          const wide = [...inner.querySelectorAll("body *")].filter(one =>
            one.getBoundingClientRect().right > width + 1 && !one.closest(".scroll"))
          frame.nextElementSibling.textContent = "measured " + inner.documentElement.scrollWidth
            + " drawn " + inner.querySelectorAll("svg").length
            + " wide " + wide.map(one => one.tagName + one.textContent.slice(0, 40)).join()
        }})</script>"""
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr"]
    measure = [*command, "--allow-file-access-from-files", "--dump-dom", wrapper.as_uri()]
    measured = subprocess.run(measure, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in measured.stderr
    found = re.findall(r"<p>measured (\d+) drawn (\d+) wide (.*?)</p>", measured.stdout)
    assert len(found) == len(widths), measured.stdout[-500:]
    for width, (scrolled, drawn, wide) in zip(widths, found, strict=True):
        assert int(scrolled) <= width
        assert int(drawn) > 10
        assert wide == ""
    shot = tmp_path / "shot.png"
    look = [*command, f"--screenshot={shot}", f"--window-size={widths[0]},900", report.as_uri()]
    looked = subprocess.run(look, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in looked.stderr
    assert shot.stat().st_size > 10_000


@pytest.mark.parametrize(
    "report",
    [
        pytest.param("benchmark", marks=pytest.mark.slow),
        "interpolation",
        "missingness",
        "objectives",
        "paired",
        "robustness",
        "sensors",
        "shift",
    ],
)
def test_every_report_of_runs_has_a_first_screen(tmp_path: Path, report: str):
    others = {path.parent.name for path in REPORTS.glob("*/report.toml")} - {"cohort_card"}
    tested = {"benchmark", "interpolation", "missingness", "objectives", "paired", "robustness"}
    tested |= {"sensors", "shift"}
    assert others == tested, "a report without a test"
    data = with_all_that_is_told(with_all_there_is())
    data = of_pairs(data) if report == "paired" else of_ways(data)
    change = {"interpolation": of_shares, "robustness": of_sets, "shift": of_markers}.get(report)
    data = change(data) if change else data
    render(REPORTS / report / "report.toml", data=data, out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    first = page.partition('<section class="answer"')[2].partition("</section>")[0]
    assert "<li>" in first
    assert "<dt>Who</dt>" in first
    assert "<dt>Caveat</dt><dd></dd>" not in first
    assert "<figure>" in first
