import sys

import pytest

from clinical_symile import registry as names
from clinical_symile.errors import DefinitionError

TABLES = {
    "modality": names.MODALITIES,
    "encoder": names.ENCODERS,
    "objective": names.OBJECTIVES,
    "absence": names.MISSING_MODALITY_METHODS,
    "augmentation": names.AUGMENTATIONS,
    "probe": names.PROBES,
    "baseline": names.BASELINES,
    "retrieval metric": names.RETRIEVAL_METRICS,
    "classification metric": names.CLASSIFICATION_METRICS,
}


@pytest.mark.parametrize(
    ("what", "name"), [(what, name) for what, table in TABLES.items() for name in table]
)
def test_every_name_stands_for_something(what: str, name: str):
    assert names.resolve(name, TABLES[what], what=what) is not None


def test_code_outside_the_package_is_named_as_module_and_attribute():
    from fractions import Fraction

    assert names.resolve("fractions:Fraction", {}, what="thing") is Fraction


def test_an_unknown_name_brings_the_nearest_one():
    with pytest.raises(DefinitionError, match="unknown objective 'symil'; did you mean 'symile'"):
        names.resolve("symil", names.OBJECTIVES, what="objective")


def test_a_module_that_cannot_be_imported_is_reported():
    with pytest.raises(DefinitionError, match="No module named 'nowhere'"):
        names.resolve("nowhere:Thing", {}, what="encoder")


def test_keywords_are_read_without_importing_the_module():
    sys.modules.pop("clinical_symile.models.encoders.waveform", None)
    known, required = names.keyword_arguments_of("resnet1d", names.ENCODERS, what="encoder")
    assert "sampling_rate_hz" in known
    assert required == set()
    assert "clinical_symile.models.encoders.waveform" not in sys.modules


@pytest.mark.parametrize(
    ("what", "name"), [(what, name) for what, table in TABLES.items() for name in table]
)
def test_every_name_has_a_sentence_that_says_what_it_is(what: str, name: str):
    said = names.summary_of(name, TABLES[what], what=what)
    assert said[0].isupper()
    assert said.endswith(".")


def test_sentences_are_read_without_importing_the_module():
    sys.modules.pop("clinical_symile.models.encoders.waveform", None)
    said = names.summary_of("resnet1d", names.ENCODERS, what="encoder")
    assert said == "A residual network over time with the leads as channels."
    assert "clinical_symile.models.encoders.waveform" not in sys.modules
    assert names.summary_of("string:ascii_letters", {}, what="thing") == ""


def test_keywords_of_a_class_without_a_constructor_are_none():
    assert names.keyword_arguments_of("string:Template", {}, what="thing") == (set(), set())


def test_keywords_of_what_a_module_lacks_is_an_error():
    with pytest.raises(DefinitionError, match="defines no 'Nothing'"):
        names.keyword_arguments_of("string:Nothing", {}, what="thing")
