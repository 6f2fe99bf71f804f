"""Every name of a benchmark is resolved before anything is written."""

import warnings
from dataclasses import replace

import pytest

from clinical_symile.benchmarking.spec import BenchmarkSpec, plan_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.report_file import benchmark_requirements
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError, RenamedWordWarning
from clinical_symile.missingness.patterns import expand


def test_without_choices_a_benchmark_is_what_its_report_needs(catalog: Catalog):
    plan = plan_benchmark(BenchmarkSpec(cohort="synthetic"), catalog=catalog)
    needed = benchmark_requirements(catalog.path("reports", "benchmark"))
    assert tuple(task.name for task in plan.pretraining) == needed.pretraining
    assert (plan.tasks, plan.baselines, plan.seeds) == (
        needed.tasks,
        needed.baselines,
        needed.seeds,
    )


def test_a_choice_replaces_what_the_report_needs_also_by_nothing(catalog: Catalog):
    chosen = BenchmarkSpec(
        cohort="synthetic", pretraining=("pretraining/clip",), baselines=(), seeds=(3, 4)
    )
    plan = plan_benchmark(chosen, catalog=catalog)
    assert [task.name for task in plan.pretraining] == ["pretraining/clip"]
    assert plan.baselines == ()
    assert plan.seeds == (3, 4)


def test_an_override_is_applied_to_every_pretraining_task(catalog: Catalog):
    spec = BenchmarkSpec(cohort="synthetic", overrides=("epochs=7",))
    plan = plan_benchmark(spec, catalog=catalog)
    assert plan.pretraining
    assert {task.epochs for task in plan.pretraining} == {7}


def test_a_sweep_tries_drawn_settings_beside_the_task_as_it_is_defined(catalog: Catalog):
    spec = BenchmarkSpec(
        cohort="synthetic",
        pretraining=("pretraining/clip",),
        space=("objective.temperature=0.02..0.5 log", "dim=[8, 16]"),
        trials=4,
        overrides=("epochs=7",),
    )
    (tasks,) = plan_benchmark(spec, catalog=catalog).settings.values()
    own, *drawn = tasks
    assert own.objective.arguments["temperature"] == 0.07
    assert [task.epochs for task in tasks] == [7] * 5
    for task, setting in zip(drawn, own.settings, strict=True):
        assert task.dim == setting["dim"]
        assert task.objective.arguments["temperature"] == setting["objective.temperature"]
    with pytest.raises(DefinitionError, match="setting 2"):
        plan_benchmark(replace(spec, space=("dimm=8..16",)), catalog=catalog)


@pytest.mark.parametrize("tune", [False, True])
def test_recipes_are_trained_beside_each_other_under_names_of_their_own(
    catalog: Catalog, tune: bool
):
    chosen = ("pretraining/symile", "pretraining/clip")
    spec = BenchmarkSpec(
        cohort="synthetic", pretraining=chosen, recipes=("basic", "strong"), tune=tune
    )
    plan = plan_benchmark(spec, catalog=catalog)
    assert [(task.name, task.recipe) for task in plan.pretraining] == [
        (f"{name}{suffix}", recipe)
        for name in chosen
        for suffix, recipe in (("", "basic"), ("-strong", "strong"))
    ]
    for task in plan.pretraining:
        assert bool(task.augment) == (task.recipe == "strong")
    assert [len(tasks) for tasks in plan.settings.values()] == [3] * 4 * tune
    for name, tasks in plan.settings.items():
        assert {task.name for task in tasks} == {name}
    plain = plan_benchmark(replace(spec, recipes=None), catalog=catalog)
    assert plain.pretraining == plan.pretraining[::2]


def test_only_a_report_that_shows_the_ceiling_of_sums_over_pairs_computes_it(catalog: Catalog):
    for report, expected in (("objectives", True), ("benchmark", False)):
        spec = BenchmarkSpec(report=report, cohort="synthetic")
        assert plan_benchmark(spec, catalog=catalog).pair_sums is expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"report": "benchmrk"}, "did you mean 'benchmark'"),
        ({"cohort": "syntetic"}, "did you mean 'synthetic'"),
        ({"pretraining": ("pretraining/symil",)}, "did you mean 'pretraining/symile'"),
        ({"baselines": ("prevalenc",)}, "unknown baseline 'prevalenc'; did you mean 'prevalence'"),
        ({"overrides": ("epoch=3",)}, "epoch"),
        ({"recipes": ("basic", "strnog")}, "recipe"),
        ({"tasks": ("retrieval/cxr_given_ecg_lab",)}, "did you mean 'retrieval/cxr_given_ecg_labs"),
        ({"tasks": ("pretraining/clip",)}, "is of kind pretraining"),
        ({"missingness": ("mcar-30", "mcra-30")}, "unknown missingness pattern 'mcra-30'"),
        ({"missingness": ("mar-ward-30",)}, "depends on 'ward', which cohort 'synthetic' does not"),
        ({"missingness": ("mar-deterioration-30",)}, "it keeps age, shown_cxr"),
        ({"tasks": ("!default",)}, "no task among !default"),
        ({"tasks": ("classification/in_hospital_mortality",)}, "codes no outcome"),
        (
            {
                "pretraining": ("pretraining/clip",),
                "overrides": (
                    'modalities=["cxr", "ecg", "labs", "pet"]',
                    'encoders.pet={name="mlp"}',
                ),
            },
            "cohort 'synthetic' has no pet; it has cxr, ecg, labs",
        ),
        (
            {
                "tasks": ("retrieval/cxr_given_ecg_labs",),
                "missingness": ("complete", "without-ecg"),
                "primary": ("retrieval/cxr_given_ecg_labs:without-egc",),
            },
            "unknown pattern 'without-egc'; did you mean 'without-ecg'",
        ),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest_one(
    wrong: dict, message: str, catalog: Catalog
):
    with pytest.raises(DefinitionError, match=message):
        plan_benchmark(BenchmarkSpec(**{"cohort": "synthetic", **wrong}), catalog=catalog)


def test_a_report_with_patterns_replaces_those_of_its_tasks(
    catalog: Catalog, synthetic_store: CohortStore
):
    plan = plan_benchmark(BenchmarkSpec(report="missingness", cohort="synthetic"), catalog=catalog)
    assert plan.missingness
    tasks, _ = plan.applicable_tasks(catalog, synthetic_store)
    assert tasks
    for task in tasks:
        assert set(task.missingness) <= {*expand(plan.missingness, task.input_modalities)}


@pytest.mark.parametrize("override", ["absent=omit", 'objective={name="pcme"}'])
def test_without_tuning_no_setting_is_read_and_old_words_are(
    catalog: Catalog, override: str
) -> None:
    spec = BenchmarkSpec(
        cohort="synthetic", pretraining=("pretraining/clip",), overrides=(override,)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedWordWarning)
        plan = plan_benchmark(spec, catalog=catalog)
        assert plan.settings == {}
        assert len(plan.pretraining) == 1
        tuned = replace(spec, tune=True)
        if override.startswith("objective"):
            with pytest.raises(DefinitionError, match="setting 2"):
                plan_benchmark(tuned, catalog=catalog)
        else:
            assert len(plan_benchmark(tuned, catalog=catalog).settings["pretraining/clip"]) == 3


def test_named_patterns_replace_those_of_the_report(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    chosen = ("complete", "mar-age-30", "mnar-deterioration-30")
    spec = BenchmarkSpec(report="missingness", cohort="synthetic", missingness=chosen)
    tasks, _ = plan_benchmark(spec, catalog=catalog).applicable_tasks(catalog, synthetic_store)
    assert {task.missingness for task in tasks} == {chosen}
