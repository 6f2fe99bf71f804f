"""The page of a leaderboard and its table: all results, costs where known, and no small count."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from clinical_symile.reporting.leaderboard import BundleContent, rank_bundles
from clinical_symile.reporting.leaderboard_page import write_leaderboard
from tests.helpers.report_data import made_run
from tests.reporting.test_leaderboard import _bundle, _data


def _written(folder: Path, *bundles: BundleContent) -> tuple[str, pd.DataFrame]:
    page, table = write_leaderboard(rank_bundles(bundles), bundles, out=folder)
    return page.read_text(encoding="utf-8"), pd.read_csv(table)


def _options(text: str, name: str) -> list[str]:
    """The choices of a filter; none without the filter."""
    found = re.search(rf'<select data-filter="{name}"[^>]*>(.*?)</select>', text)
    return re.findall(r"<option[^>]*>([^<]*)</option>", found[1]) if found else []


def test_page_and_table_have_every_result_and_load_nothing(tmp_path: Path):
    text, frame = _written(tmp_path, _bundle("<a>", _data(0.2, 0.8)), _bundle("b", _data(0.5)))
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame["value"].tolist() == [0.8, 0.5, 0.2]
    assert {"rank_low", "rank_high", "digest", "mask", "trained_with", "seed"} <= {*frame}
    assert "default-src 'none'" in text
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "<a>" not in text.replace("&lt;a&gt;", "")
    assert text.count("<tr data-cohort=") == 3
    assert text.count("<svg viewBox") == 3
    assert _options(text, "bundle") == ["all", "&lt;a&gt;", "b"]
    assert _options(text, "task") == [], "there is one task to choose among"


def test_no_small_difference_of_sizes_follows_from_page_or_table(tmp_path: Path):
    bundles = [
        _bundle(name, _data(0.5, n_samples=n, n_subjects=n), store=name)
        for name, n in (("observed", 27), ("complete", 21), ("all", 30), ("large", 90))
    ]
    text, frame = _written(tmp_path, *bundles)
    frame = frame.astype(str).set_index("bundle")
    for column in ("n_samples", "n_subjects"):
        shown = frame[column].to_dict()
        assert (shown["all"], shown["large"]) == ("30", "90")
        assert not {shown["observed"], shown["complete"]} & {"27", "21"}
    assert not re.search(r"<td[^>]*>\s*(27|21), ", text)


def test_values_are_no_more_exact_than_in_a_report(tmp_path: Path):
    text, frame = _written(tmp_path, _bundle("a", _data(14 / 27, 1 / 3)))
    assert frame["value"].tolist() == [0.519, 0.333]
    assert "0.5185" not in text


def test_a_text_that_spreadsheets_would_run_is_neutralised(tmp_path: Path):
    _, frame = _written(tmp_path, _bundle("=1+1", _data(-0.2)))
    assert frame["bundle"].tolist() == ["'=1+1"]
    assert frame["value"].tolist() == [-0.2]


def _trained(costs: dict[str, Any], seed: int) -> BundleContent:
    """A bundle of one trained run with these costs."""
    record = {**made_run("clip", seed), "name": "run-0", "costs": costs}
    record["definition"] |= {"missingness": "mcar-50", "missing_modality": "learned"}
    return _bundle(f"b{seed}", replace(_data(0.5, seed=seed), runs=[record]))


def test_costs_are_shown_and_filtered_where_a_run_records_them(tmp_path: Path):
    small = {"parameters_used": 1200, "device": "A", "training": {"wall_s": 95.0}}
    large = {"parameters_used": 25_000_000, "training": {"peak_memory_bytes": 2_000_000_000}}
    text, frame = _written(tmp_path, _trained(small, 2), _trained(large, 10), _trained({}, 3))
    frame = frame.set_index("bundle")
    assert frame["parameters_used"].dropna().to_dict() == {"b2": 1200, "b10": 25e6}
    assert frame["training_s"].dropna().to_dict() == {"b2": 95.0}
    assert frame["energy_j"].dropna().empty
    for words in ("1.2 k", "25 M", "1 min 35 s", "2 GB"):
        assert f"<td>{words}</td>" in text
    assert '<th scope="col">energy of training</th>' not in text
    assert _options(text, "parameters") == ["all", "1.2 k", "25 M"]
    assert _options(text, "training-time") == [], "one known value leaves no choice"
    assert text.count("data-parameters=") == 2
    assert _options(text, "seed") == ["all", "2", "3", "10"]
    assert text.count("<td>50 % missing at random</td>") == 3
    assert _options(text, "trained-with") == []


def test_what_was_not_checked_in_a_bundle_is_on_the_page(tmp_path: Path):
    bundle = replace(_bundle("a", _data(0.5)), skipped=("tasks/x.json: names code.",))
    assert "Not checked in a: tasks/x.json: names code." in _written(tmp_path, bundle)[0]
