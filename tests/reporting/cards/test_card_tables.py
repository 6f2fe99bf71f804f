"""The tables of a model card hold the numbers of the records."""

from dataclasses import replace

from clinical_symile.reporting.cards.card_tables import (
    calibration_tables,
    comparison_panels,
    group_panels,
    missing_figure,
    missing_panels,
    performance_panels,
    primary_result,
    reference_pattern,
    size_words,
)
from clinical_symile.reporting.cards.model_facts import find_methods
from tests.helpers.card_records import card_data, in_groups
from tests.helpers.report_data import FIRST, OUTCOME

DATA = card_data()
SYMILE, CLIP = find_methods(DATA)


def test_performance_has_each_metric_with_interval_chance_oracle_and_sizes():
    first, second = performance_panels(SYMILE, DATA)
    assert first.title == "Find the chest X-ray from ECG and labs, nothing missing"
    assert first.head == [
        *("metric", "value", "95 % interval", "chance", "oracle", "samples", "subjects"),
    ]
    # 0.71 of the record, 0.03 either way; the oracle has 0.76
    assert [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in first.body[0]] == [
        *("recall@1", "71.0 %", "68.0 to 74.0 %", "10.0 %", "76.0 %", "512", "400"),
    ]
    assert [line[0] for line in second.body] == ["AUROC", "AUPRC", "Brier score"]


def test_several_seeds_have_a_row_each():
    data = card_data(seeds=(0, 1))
    panel = performance_panels(find_methods(data)[0], data)[0]
    assert panel.head[1] == "run"
    assert [line[1] for line in panel.body[:2]] == ["Symile, seed 0", "Symile, seed 1"]


def test_the_reference_is_the_pattern_with_the_fewest_missing():
    assert reference_pattern(SYMILE, DATA, OUTCOME) == "complete"
    results = [row for row in DATA.results if row.missingness != "complete"]
    assert reference_pattern(SYMILE, replace(DATA, results=results), FIRST) == "without-ecg"
    assert reference_pattern(SYMILE, replace(DATA, results=[]), FIRST) is None
    row = primary_result(SYMILE, DATA, FIRST)
    assert row is not None
    assert (row.run, row.metric, row.missingness) == ("symile-0", "recall_at_1", "complete")


def test_each_pattern_has_what_is_lost_with_its_interval():
    panel = missing_panels(SYMILE, DATA)[1]
    loss = next(row for row in DATA.losses if row.missingness == "without-ecg")
    line = next(line for line in panel.body if line[0] == "without ECG")
    complete = next(line for line in panel.body if line[0] == "nothing missing")
    assert complete[4:6] == ["\N{EN DASH}", "\N{EN DASH}"]
    assert line[4] == f"{loss.difference:+.3f}".replace("-", "\N{MINUS SIGN}")
    assert len(panel.body) == len(DATA.scores.patterns(OUTCOME))


def test_the_figure_is_of_the_first_task_and_of_this_method_alone():
    figure = missing_figure(SYMILE, DATA)
    assert figure is not None
    assert figure.title == "Find the chest X-ray from ECG and labs: recall@1"
    assert "CLIP" not in str(figure.head)


def test_a_difference_is_this_model_minus_the_other_whichever_comes_first():
    by_other = {line[0]: line for panel in comparison_panels(SYMILE, DATA) for line in panel.body}
    # The record has prevalence minus symile: -0.25, from -0.3 to -0.2.
    assert by_other["prevalence"][1:3] == ["+0.250", "+0.200 to +0.300"]
    theirs = {line[0]: line for panel in comparison_panels(CLIP, DATA) for line in panel.body}
    ours = by_other["CLIP"][1].replace("+", "\N{MINUS SIGN}")
    assert theirs["Symile"][1] == ours
    assert "oracle" not in by_other


def test_calibration_and_groups_are_tables():
    panel = calibration_tables(SYMILE, DATA)[0]
    assert ["slope (1 is right)", "0.400", "0.300 to 0.500"] in [list(one) for one in panel.body]
    groups = group_panels(SYMILE, in_groups(DATA))[0]
    assert groups.picture is None
    assert groups.body[0] == ["sex: F", "0.700 (0.500 to 0.900)", "+0.100", "0.800", "200"]


def test_no_small_difference_of_sizes_follows():
    results = [replace(DATA.results[0], n_samples=505), *DATA.results[1:]]
    assert size_words(replace(DATA, results=results))["n_samples"] == {505: ">502", 512: "512"}
