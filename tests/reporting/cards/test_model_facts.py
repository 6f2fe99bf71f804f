"""What a model is, from its record alone."""

from dataclasses import replace

from clinical_symile.reporting.cards.model_facts import (
    cost_facts,
    find_methods,
    missing_words,
    model_facts,
    seen_outcomes,
    start_words,
    training_facts,
)
from tests.helpers.card_records import card_data


def test_runs_that_differ_by_their_seed_are_one_method_and_baselines_are_none():
    methods = find_methods(card_data(seeds=(0, 1)))
    assert [method.runs for method in methods] == [["symile-0", "symile-1"], ["clip-0", "clip-1"]]
    assert methods[0].definition["dim"] == 16


def test_an_external_model_is_a_method_without_a_definition():
    data = card_data()
    theirs = [replace(row, run="theirs") for row in data.results if row.run == "symile-0"]
    method = find_methods(replace(data, results=[*data.results, *theirs]))[-1]
    assert (method.runs, method.records, method.definition) == (["theirs"], [], {})
    assert "external" in model_facts(method)[0][1]
    assert training_facts(method) == []


def test_the_facts_name_modalities_encoders_objective_and_the_way_with_missing_ones():
    method = find_methods(card_data())[0]
    facts = dict(model_facts(method))
    assert facts["modalities"] == "chest X-ray, ECG and labs"
    assert facts["encoder of chest X-ray"] == "small_cnn (size_px = 16)"
    assert facts["encoder of labs"].startswith("mlp (hidden = [16], centred = true). Source: ")
    assert facts["objective"].startswith("Symile (temperature = 0.02). Source: Saporta")
    assert facts["width of an embedding"] == "16"
    assert missing_words(method).endswith("(drop). In training: as recorded.")
    trained = dict(training_facts(method))
    assert trained["selected"] == (
        "the epoch with the best mean_reciprocal_rank on the tuning split, over chest X-ray and ECG"
    )
    assert trained["trained"] == "2026-03-01 10:00 to 2026-03-01 10:04 UTC"


def test_no_path_of_the_machine_is_a_fact():
    data = card_data()
    run = dict(data.runs[0])
    run["definition"] = {
        **run["definition"],
        "encoders": {"cxr": {"name": "small_cnn", "weights": "/home/ann/secret/w.pt"}},
    }
    method = find_methods(replace(data, runs=[run]))[0]
    assert "secret" not in str(model_facts(method))
    assert "w.pt" in str(model_facts(method))


def test_a_start_and_labels_that_training_read_are_named():
    data = card_data()
    run = {**data.runs[0], "start": {"run": "older-0"}, "saw_labels": ["died"]}
    method = find_methods(replace(data, runs=[run, *data.runs[1:]]))[0]
    assert start_words(method) == "the weights of the run older-0"
    assert seen_outcomes(method) == ["died"]


def test_costs_are_those_that_are_recorded():
    assert cost_facts({}) == []
    costs = {
        "parameters_used": 1234567,
        "device": "CPU",
        "training": {
            "wall_s": 95.0,
            "peak_memory_bytes": 2_500_000_000,
            "peak_device_memory_bytes": 5_500_000_000,
            "energy_j": 7.2e6,
        },
    }
    assert dict(cost_facts({"costs": costs})) == {
        "parameters": "1.23 M",
        "device": "CPU",
        "training time": "1 min 35 s",
        "peak host memory": "2.5 GB",
        "peak GPU memory": "5.5 GB",
        "energy of training": "7.2 MJ",
    }


def test_a_run_that_was_evaluated_on_another_cohort_knows_where_it_was_trained():
    data = card_data()
    record = {
        "name": "symile-0-from-here",
        "task": "symile-0-from-here",
        "run": "symile-0",
        "trained_on": "here",
        "cohort": "there",
        "weights_sha256": "00ff",
        "definition": {"description": "symile-0 was trained on cohort here."},
    }
    results = [replace(row, run=record["name"], cohort="there") for row in data.results]
    method = find_methods(replace(data, runs=[record], results=results))[0]
    assert (method.trained_on, method.definition) == ("here", {})
    assert dict(model_facts(method)) == {
        "model": "symile-0 was trained on cohort here.",
        "weights of the run": "symile-0",
        "SHA-256 of the weights": "00ff",
    }
