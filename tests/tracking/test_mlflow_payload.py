"""Names in MLflow are accepted by MLflow, and different names stay different."""

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from clinical_symile.tracking._mlflow_payload import (
    NAME_LENGTH,
    curve_names,
    flatten_parameters,
    history_points,
    mlflow_name,
    run_tags,
    system_points,
)
from tests.helpers.mlflow_runs import RECORD, RESULT, snapshot_of

names = st.text(st.sampled_from("ab9_-../:@<>=%ö\n "), max_size=12)
long_names = st.builds(str.__mul__, names, st.integers(1, 60))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("retrieval/x/mcar-50/auroc", "retrieval/x/mcar-50/auroc"),
        ("x/auroc.low", "x/auroc:dot:low"),
        ("x/mcar-50@at-least-one/auroc", "x/mcar-50:at:at-least-one/auroc"),
        ("auroc/lactate<2", "auroc/lactate:lt:2"),
        ("auroc/lactate>2", "auroc/lactate:gt:2"),
        ("a/../b", "a/:2-dots:/b"),
        ("..9", ":2-dots:9"),
        ("...9/x", ":3-dots:9/x"),
        (".9..", ".9.."),
        ("a/.9", "a/.9"),
        ("", ":0-dots:"),
        ("größe", "größe"),
    ],
)
def test_a_character_that_mlflow_refuses_becomes_a_word(name: str, expected: str):
    assert mlflow_name(name) == expected


@given(names, names)
def test_different_names_stay_different(first: str, second: str):
    assert (mlflow_name(first) == mlflow_name(second)) == (first == second)


@given(st.one_of(names, long_names))
def test_a_name_has_only_characters_and_parts_that_mlflow_accepts(name: str):
    found = mlflow_name(name)
    assert set(found) <= {*string.ascii_letters, *string.digits, *"ö_-. :/"}
    _validate_metric_name(found)
    _validate_metric_name(mlflow_name(name, end=".low"))
    assert all(part.strip(".") for part in found.split("/"))
    assert len(found) <= NAME_LENGTH


def test_long_names_that_differ_at_the_end_stay_different():
    first, second = ("a" * NAME_LENGTH + end for end in "xy")
    assert mlflow_name(first) != mlflow_name(second)
    assert len(mlflow_name(first)) == NAME_LENGTH


ends = st.sampled_from(["", ".low", ".high"])


@given(st.text(max_size=300), st.text(max_size=300), ends, ends)
def test_ends_survive_the_cut_and_no_two_numbers_share_a_name(
    first: str, second: str, end: str, other: str
):
    names = [mlflow_name(first, end=end), mlflow_name(second, end=other)]
    assert (names[0] == names[1]) == ((first, end) == (second, other))
    for name, its_end in zip(names, (end, other), strict=True):
        assert len(name) <= NAME_LENGTH
        assert name.endswith(its_end)
        _validate_metric_name(name)


@pytest.mark.parametrize("end", [".low", ".high"])
def test_an_outcome_that_ends_like_an_interval_is_not_the_end_of_another(end: str):
    assert mlflow_name(f"auroc/lactate{end}") != mlflow_name("auroc/lactate", end=end)
    assert mlflow_name(f"auroc/lactate{end}") == f"auroc/lactate:dot:{end[1:]}"


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=200))
def test_letters_and_digits_of_every_script_are_kept(name: str):
    assert mlflow_name(f"auroc/{name}") == f"auroc/{name}"


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [
        ({}, {"role": "oracle"}),
        ({"baseline": "prevalence"}, {"role": "baseline"}),
        ({"predictions": "theirs.csv"}, {"role": "external"}),
        ({"embeddings": "theirs.csv"}, {"role": "external"}),
        ({"scores": "theirs.csv"}, {"role": "external"}),
        ({"model": "Mine"}, {"role": "external"}),
        (
            RECORD,
            {"role": "model", "method": "pretraining/symile", "objective": "symile"},
        ),
    ],
)
def test_tags_say_the_role_of_a_run(metadata: dict[str, Any], tags: dict[str, str]):
    found = run_tags(snapshot_of(RESULT, metadata=metadata))
    named = ("role", "method", "objective", "missing_modality", "trained_with")
    assert {name: found[name] for name in named if name in found} == tags


def test_costs_are_tags_once_the_training_has_ended_and_never_parameters():
    costs = {
        "device": "NVIDIA H200",
        "parameters_used": 1234,
        "training": {"wall_s": 2.0625, "peak_memory_bytes": 5, "energy_missing": "no driver"},
        "evaluation": {"retrieval/a": {"wall_s": 1.5}, "retrieval/b": {"wall_s": 2.0}},
    }
    training = {**RECORD, "costs": costs}
    finished = {**training, "finished": "2026-03-01T10:05:00+00:00"}
    assert flatten_parameters(finished) == flatten_parameters(RECORD)
    found = [run_tags(snapshot_of(RESULT, metadata=one)) for one in (training, finished)]
    assert [{k: v for k, v in one.items() if k.startswith("cost.")} for one in found] == [
        {},
        {
            "cost.device": "NVIDIA H200",
            "cost.parameters_used": "1234",
            "cost.training_s": "2.062",
            "cost.training_peak_bytes": "5",
            "cost.evaluation_s": "3.500",
        },
    ]


def test_system_metrics_are_the_mean_of_each_epoch_and_the_peak_so_far():
    epochs = {"wall_s": [2.0, 4.0], "processor_s": [3.0, 4.0], "peak_memory_bytes": [5e6, 7e6]}
    metadata = {**RECORD, "costs": {"epochs": epochs}}
    history = [{"step": 12, "seconds": 1.0}, {"step": 24, "seconds": 1.0}, {"step": 36}]
    run = replace(snapshot_of(RESULT, metadata=metadata), history=history)
    cpu, memory = "system/process_cpu_percent", "system/process_memory_peak_megabytes"
    assert [(name, value, step) for name, value, _, step in system_points(run, skip=0)] == [
        *[(cpu, 150.0, 12), (memory, 5.0, 12)],
        *[(cpu, 100.0, 24), (memory, 7.0, 24)],
    ]
    assert [point[3] for point in system_points(run, skip=1)] == [24, 24]
    assert system_points(replace(run, metadata=RECORD), skip=0) == []


def test_the_terms_of_a_loss_are_curves_within_the_limit_of_six():
    line = {"epoch": 1, "step": 12, "loss": 3.0, "gradient_norm": 1.0, "learning_rate": 0.1}
    line |= {"left_over": 2, "health/uniformity/ecg": -1.0, "tuning/recall_at_1": 0.2}
    line |= {"seconds": 1.5}
    plain, terms = (
        replace(snapshot_of(RESULT), history=[{**line, **{f"loss/{name}": 1.0 for name in some}}])
        for some in ("", "abc")
    )
    ours = {"gradient_norm", "learning_rate", "seconds"}
    assert curve_names(plain) == {"loss", "tuning/recall_at_1", *ours}
    expected = {"loss", "tuning/recall_at_1", "loss/a", "loss/b", "loss/c", "gradient_norm"}
    assert curve_names(terms) == expected
    assert {name for name, *_ in history_points(terms, skip=0)} == expected


def test_a_term_that_begins_later_takes_no_place_of_a_curve_that_was_sent():
    keys = ("loss", "tuning/a", "gradient_norm", "learning_rate", "seconds")
    first = {"epoch": 1, **dict.fromkeys(keys, 1.0)}
    second = {**first, "epoch": 2, "loss/fused": 1.0, "loss/intra": 1.0}
    before = curve_names(replace(snapshot_of(RESULT), history=[first]))
    after = curve_names(replace(snapshot_of(RESULT), history=[first, second]))
    assert before == set(keys)
    assert after == {*keys, "loss/fused"}
