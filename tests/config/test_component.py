"""A component's name and arguments are checked without importing it."""

from clinical_symile.config.component import (
    ComponentConfig,
    argument_problems,
    unknown_names,
    unknown_objects,
)
from clinical_symile.registry.families import OBJECTIVES, PROBES


def _problems(**table) -> list[str]:
    component = ComponentConfig(**table)
    return [str(one) for one in argument_problems(component, PROBES, where="probe")]


def test_every_other_key_is_an_argument():
    assert ComponentConfig(name="logistic").arguments == {}
    made = ComponentConfig.model_validate({"name": "logistic", "strengths": [1.0]})
    assert made.arguments == {"strengths": [1.0]}


def test_known_arguments_have_no_problem():
    assert _problems(name="logistic", strengths=[1.0]) == []


def test_an_unknown_and_a_missing_argument_are_both_reported():
    unknown, missing = _problems(name="logistic", strength=[1.0])
    assert "unknown argument 'strength'; did you mean 'strengths'" in unknown
    assert missing == "probe has no 'strengths'; 'logistic' needs it. Add it."


def test_an_unknown_name_is_reported_with_its_table():
    (problem,) = _problems(name="logistik")
    assert problem.startswith("probe")
    assert "did you mean 'logistic'" in problem


def test_names_and_paths_of_a_family_are_checked():
    assert unknown_objects(["symile", "string:Template"], OBJECTIVES) == []
    first, second = unknown_objects(["symil", "nowhere:Thing"], OBJECTIVES)
    assert "did you mean 'symile'" in str(first)
    assert "no module 'nowhere'" in str(second)
    (problem,) = unknown_names(["exg", "ecg"], {"ecg": 1}, what="modality")
    assert problem.startswith("unknown modality 'exg'; did you mean 'ecg'")
