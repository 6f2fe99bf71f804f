import re
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.missingness.patterns import (
    PATTERN_FORMS,
    PATTERN_GROUPS,
    Pattern,
    apply_pattern,
    eligible_samples,
    expand,
    is_applicable,
    parse_pattern,
)

MODALITIES = ("cxr", "ecg", "labs")
PATTERNS = ["observed", "complete", "without-ecg", "only-labs", "only-cxr-labs", "mcar-30"]
each_pattern = pytest.mark.parametrize("name", PATTERNS)
PRESENT = np.array([[True, True, True], [True, False, True], [False, False, True]])


def available(name, present, *, modalities=MODALITIES):
    return apply_pattern(parse_pattern(name), modalities=modalities, present=present)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("observed", PRESENT),
        ("complete", PRESENT),
        ("without-ecg", PRESENT & np.array([True, False, True])),
        ("only-labs", PRESENT & np.array([False, False, True])),
        ("only-cxr-labs", PRESENT & np.array([True, False, True])),
    ],
)
def test_a_pattern_shows_what_its_name_says(name, expected):
    np.testing.assert_array_equal(available(name, PRESENT), expected)


@pytest.mark.parametrize("name", PATTERNS[1:])
def test_all_patterns_but_observed_are_scored_on_the_same_samples(name):
    assert eligible_samples(parse_pattern(name), PRESENT).tolist() == [True, False, False]


def test_observed_is_scored_on_whoever_has_anything():
    present = np.vstack([PRESENT, [[False] * 3]])
    assert eligible_samples(parse_pattern("observed"), present).tolist() == [
        True,
        True,
        True,
        False,
    ]


@each_pattern
def test_hiding_twice_is_hiding_once(name, rng):
    present = rng.random((200, 3)) < 0.7
    once = available(name, present)
    assert not (once & ~present).any()
    np.testing.assert_array_equal(available(name, once), once)


@each_pattern
def test_the_fixed_part_of_a_pattern_leaves_a_complete_sample_something(name):
    assert available(name, np.ones((5, 3), dtype=bool)).any(axis=1).all()


@pytest.mark.parametrize("modalities", [MODALITIES, ("ecg", "labs"), ("ecg",), tuple("abcde")])
def test_every_pattern_is_each_way_to_show_some_of_the_modalities_once(modalities):
    names = expand(["every"], modalities)
    shown = {tuple(parse_pattern(name).visible_modalities(modalities)) for name in names}
    assert len(names) == len(shown) == 2 ** len(modalities) - 1
    assert () not in shown
    assert names[0] == "complete"


def test_words_for_several_are_written_out_where_they_stand_and_nothing_twice():
    names = expand(["observed", "without-labs", "grid", "mcar-20"], ("ecg", "labs"))
    assert names[:4] == ("observed", "without-labs", "complete", "without-ecg")
    assert names[4:10] == tuple(
        f"{word}-{rate}" for word in ("mcar", "mnar") for rate in (10, 30, 50)
    )
    assert names[10:] == ("site", "mcar-20")
    assert expand(["grid"], ("ecg",)) == ("complete",)


@pytest.mark.parametrize(
    ("name", "mechanism", "rate", "given", "within"),
    [
        ("mcar-30", "mcar", 0.3, "", ""),
        ("mar-age-5", "mar", 0.05, "age", ""),
        ("mnar-50", "mnar", 0.5, "", ""),
        ("mnar-in_hospital_mortality-50", "mnar", 0.5, "in_hospital_mortality", ""),
        ("site", "site", 0.0, "", ""),
        ("site-ward", "site", 0.0, "ward", ""),
        ("mask-ours", "mask", 0.0, "ours", ""),
        ("labs-mcar-90", "mcar", 0.9, "", "labs"),
        ("labs-mar-age-50", "mar", 0.5, "age", "labs"),
        ("labs-mnar-50", "mnar", 0.5, "", "labs"),
        ("cxr-mcar-7", "mcar", 0.07, "", "cxr"),
    ],
)
def test_a_random_pattern_says_its_mechanism_rate_and_what_it_depends_on(
    name, mechanism, rate, given, within
):
    found = parse_pattern(name)
    assert found == Pattern(name, mechanism=mechanism, rate=rate, given=given, within=within)
    assert found.visible_modalities(MODALITIES) == list(MODALITIES)
    found.check(MODALITIES)


ECG_LABS = (("ecg", 0.5), ("labs", 0.2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mcar-ecg-50-labs-20", {"mechanism": "mcar", "rates": ECG_LABS}),
        ("mcar-ecg-50-labs-0", {"mechanism": "mcar", "rates": (("ecg", 0.5), ("labs", 0.0))}),
        ("mcar-ecg-50", {"mechanism": "mcar", "rates": ECG_LABS[:1]}),
        ("mcar-50-corr-60", {"mechanism": "mcar", "rate": 0.5, "correlation": 0.6}),
        (
            "mcar-ecg-50-labs-20-corr-30",
            {"mechanism": "mcar", "rates": ECG_LABS, "correlation": 0.3},
        ),
        ("mar-age-ecg-50-labs-20", {"mechanism": "mar", "rates": ECG_LABS, "given": "age"}),
        ("mnar-ecg-50-labs-20", {"mechanism": "mnar", "rates": ECG_LABS}),
        ("mnar-died-ecg-50-labs-20", {"mechanism": "mnar", "rates": ECG_LABS, "given": "died"}),
        ("mcar-50@at-least-one", {"mechanism": "mcar", "rate": 0.5, "at_least_one": True}),
        (
            "mnar-died-20@at-least-one",
            {"mechanism": "mnar", "rate": 0.2, "given": "died", "at_least_one": True},
        ),
    ],
)
def test_rates_correlation_and_rule_are_parsed(name, expected):
    assert parse_pattern(name) == Pattern(name, **expected)
    parse_pattern(name).check(MODALITIES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ecg-leads-mcar-30", {"within": "ecg", "part": "leads", "rate": 0.3}),
        (
            "ecg-leads-mar-age-5",
            {"within": "ecg", "part": "leads", "mechanism": "mar", "given": "age", "rate": 0.05},
        ),
        ("ecg-segment-3s", {"within": "ecg", "part": "segment", "seconds": 3.0}),
        ("ecg-segment-0.25s", {"within": "ecg", "part": "segment", "seconds": 0.25}),
        ("cxr-region-25", {"within": "cxr", "part": "region", "rate": 0.25}),
        (
            "cxr-marker-died-90",
            {"within": "cxr", "part": "marker", "mechanism": "mnar", "given": "died", "rate": 0.9},
        ),
        (
            "cxr-marker-shift-died-0",
            {"within": "cxr", "part": "marker-shift", "mechanism": "mnar", "given": "died"},
        ),
        (
            "cxr-marker-shift-5",
            {"within": "cxr", "part": "marker", "mechanism": "mnar", "given": "shift"}
            | {"rate": 0.05},
        ),
    ],
)
def test_what_sensors_lose_is_parsed(name, expected):
    found = parse_pattern(name)
    assert found == Pattern(name, **{"mechanism": "mcar", **expected})
    assert found.complete
    assert found.visible_modalities(MODALITIES) == list(MODALITIES)
    found.check(MODALITIES)
    with pytest.raises(DefinitionError, match=f"'{found.within}' is not among"):
        found.check(("labs",))


def test_modalities_without_a_rate_of_their_own_are_never_hidden():
    assert parse_pattern("mcar-ecg-50-labs-20").rates_of(MODALITIES).tolist() == [0.0, 0.5, 0.2]
    assert parse_pattern("mcar-30").rates_of(MODALITIES).tolist() == [0.3] * 3


@pytest.mark.parametrize(
    "name",
    [
        "mcar-50-corr-0",
        "mnar-50-corr-60",
        "mcar-50@most",
        "mcar-50-corr-60@at-least-one",
        "site@at-least-one",
        "labs-mcar-a-50-b-20",
        "labs-mcar-50-corr-60",
        "mcar-ecg-50-ecg-20",
        "mcar-ecg-0-labs-0",
        "mcar-ecg-labs-50",
        "mar-ecg-50-labs-20",
        "ecg-leads",
        "ecg-leads-30",
        "ecg-leads-mcar-a-50-b-20",
        "ecg-segment",
        "ecg-segment-3",
        "ecg-segment-0s",
        "ecg-segment-0.0s",
        "ecg-segment--3s",
        "ecg-segment-3s-2s",
        "ecg-segment-٣s",
        "ecg-segment-mcar-3s",
        "cxr-region-0",
        "cxr-region-100",
        "cxr-region-2.5",
        "cxr-region-25-10",
        "cxr-region-mcar-25",
        "cxr-marker-25",
        "cxr-marker-died-100",
        "cxr-marker-died-25-10",
        "cxr-marker--25",
        "cxr-marker-mcar-died-25",
        "leads-30",
    ],
)
def test_words_that_do_not_go_together_are_refused(name):
    with pytest.raises(DefinitionError, match="unknown missingness pattern"):
        parse_pattern(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mcar-67@at-least-one", "hides 67 % of cxr, ecg, labs; expected at most 67 %"),
        ("mcar-cxr-90-ecg-90-labs-90@at-least-one", "expected a sum of at most 200 %"),
        ("mcar-ecg-50-labs-20-corr-60", "50 % and 20 % allow a correlation of at most 50 %"),
        ("mcar-ecg-50-corr-60", "hides one modality, which correlates with no other"),
        ("mcar-echo-50", "'echo' is not among the modalities cxr, ecg, labs"),
    ],
)
def test_rates_and_correlations_that_cannot_be_reached_are_refused_with_the_range(name, message):
    with pytest.raises(DefinitionError, match=message):
        parse_pattern(name).check(MODALITIES)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("complte", "did you mean 'complete'"),
        ("witout-ecg", "did you mean 'without-ecg'"),
        ("mcra-50", "did you mean 'mcar-50'"),
        ("mcar-50-cor-60", "did you mean 'mcar-50-corr-60'"),
        ("mcar-50@atleast-one", "did you mean 'mcar-50@at-least-one'"),
        ("labs-mcr-50", "did you mean 'labs-mcar-50'"),
        ("ecg-lead-mcar-30", "did you mean 'ecg-leads-mcar-30'"),
        ("ecg-segmnt-3s", "did you mean 'ecg-segment-3s'"),
        ("cxr-marcker-died-25", "did you mean 'cxr-marker-died-25'"),
        ("cxr-regoin-25", "did you mean 'cxr-region-25'"),
        ("ecg-segment-3", "seconds above 0"),
        ("ecg-nois-10db", "did you mean 'ecg-noise-10db'"),
        ("ecg-noise-1000", "decibels of at most two digits"),
        ("mcar", "did you mean 'mcar-<rates>'"),
        ("mcar-0", "whole percents from 1 to 99"),
        ("mcar-100", "whole percents"),
        ("mcar-3.5", "whole percents"),
        ("mcar-30-ecg", "whole percents"),
        ("mar-30", "whole percents"),
        ("mar--30", "whole percents"),
        ("mnar-died-age", "whole percents"),
        ("site-a-b", "whole percents"),
        ("mask", "did you mean 'mask-<name>'"),
        ("labs-site", "whole percents"),
        ("labs-mcar", "whole percents"),
        ("mcar-٣٠", "whole percents"),
        ("only", "only-<modality>"),
        ("only-", "only-<modality>"),
        ("only-ecg-ecg", "only-<modality>"),
        ("complete-ecg", "xpected one of observed, complete"),
        ("", "unknown missingness pattern ''"),
        ("xyz", "xpected one of observed, complete"),
    ],
)
def test_an_unknown_pattern_is_refused(name, meant):
    with pytest.raises(DefinitionError, match=meant):
        parse_pattern(name)


@pytest.mark.parametrize(
    ("name", "modalities", "message"),
    [
        ("without-egc", MODALITIES, "'egc' is not among .*; did you mean 'ecg'"),
        ("only-mri", MODALITIES, "'mri' is not among the modalities cxr, ecg, labs"),
        ("without-ecg", ("ecg",), "hides all of ecg"),
        ("mri-mcar-30", MODALITIES, "'mri' is not among"),
    ],
)
def test_a_pattern_that_means_nothing_here_is_refused(name, modalities, message):
    pattern = parse_pattern(name)
    assert not is_applicable(pattern, modalities)
    with pytest.raises(DefinitionError, match=message):
        pattern.check(modalities)
    with pytest.raises(DefinitionError, match=message):
        available(name, np.ones((2, len(modalities)), dtype=bool), modalities=modalities)


def test_all_problems_of_a_pattern_are_told_together():
    with pytest.raises(DefinitionError, match=r"(?s)'mri'.*'echo'"):
        parse_pattern("only-mri-echo").check(MODALITIES)


@each_pattern
def test_the_usual_patterns_are_applicable_to_three_modalities(name):
    assert is_applicable(parse_pattern(name), MODALITIES)


def test_rows_and_presence_must_fit():
    with pytest.raises(ValueError, match=r"present has shape \[3, 3\]; expected \[3, 2\]"):
        available("complete", PRESENT, modalities=("cxr", "ecg"))


def _documented() -> list[str]:
    """The names in the first column of the documentation's table of patterns."""
    page = (Path(__file__).resolve().parents[2] / "docs/explanation/missingness.md").read_text()
    table = page.split("| pattern | available to the query |")[1].split("\n\n")[0]
    return re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))


def test_the_table_in_the_documentation_has_patterns_and_every_form():
    names = [name for name in _documented() if name not in PATTERN_GROUPS]
    assert {*PATTERN_GROUPS} <= {*_documented()}
    found = {_form(parse_pattern(name)) for name in names}
    examples = {"percent": "30", "rates": "30", "mechanism": "mcar-30", "seconds": "3"}
    examples["decibels"] = "10"
    for form in PATTERN_FORMS:
        name = re.sub(r"<(\w+)>", lambda word: examples.get(word[1], "x"), form)
        assert _form(parse_pattern(name)) in found, form


def _form(pattern: Pattern) -> tuple[object, ...]:
    """What of a pattern its form decides."""
    kinds = (pattern.without, pattern.only, pattern.given, pattern.within, pattern.correlation)
    return (
        pattern.complete,
        f"part {pattern.part}" if pattern.within else pattern.mechanism,
        pattern.at_least_one,
        *map(bool, kinds),
    )
