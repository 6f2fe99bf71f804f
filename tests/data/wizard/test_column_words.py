"""Names of columns and values are understood in seven languages."""

import pandas as pd
import pytest

from clinical_symile.data.wizard.column_words import (
    MORTALITY,
    first_is_yes,
    has_hint,
    holds_sexes,
    propose_outcomes,
    says_death,
    yes_and_no,
)
from clinical_symile.data.wizard.profile import Column


def column(name: str, *values: str) -> Column:
    return Column(name, pd.Series(values, dtype=object), len(values), (), False, False)


@pytest.mark.parametrize(
    ("meaning", "names"),
    [
        ("sample", ("FallNr", "hadm_id", "NumSéjour", "Episodio", "id_ricovero", "opnamenummer")),
        ("subject", ("PatNr", "subject_id", "IPP", "NHC", "id_paziente", "num_doente")),
        (
            "admitted",
            ("Aufnahme", "admittime", "DateEntrée", "FechaIngreso", "data_ingresso", "opnamedatum"),
        ),
        (
            "discharged",
            (
                "Entlassung",
                "Entlassdatum",
                "dischtime",
                "DateSortie",
                "FechaAlta",
                "data_dimissione",
                "DataSaída",
                "ontslagdatum",
            ),
        ),
        ("birth", ("GebDatum", "dob", "DateNaissance", "FechaNacimiento", "DataNascita")),
        ("sex", ("Geschlecht", "gender", "Sexe", "Sexo", "sesso", "geslacht")),
        (
            "death",
            (
                "Todesdatum",
                "deathtime",
                "DateDécès",
                "FechaFallecimiento",
                "deceduto",
                "óbito",
                "overleden",
            ),
        ),
        ("unit", ("Einheit", "uom", "Unité", "Unidad", "unità", "unidade", "eenheid")),
    ],
)
def test_a_meaning_is_found_in_every_language(meaning: str, names: tuple[str, ...]) -> None:
    assert [name for name in names if not has_hint(column(name), meaning)] == []
    assert not has_hint(column("Bemerkung"), meaning)


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("J", "N"),
        ("yes", "no"),
        ("Oui", "Non"),
        ("Sí", "No"),
        ("sim", "não"),
        ("1", "0"),
        ("b", "a"),
        ("Expired", "Home"),
        ("deceduto", "dimesso"),
        ("mort", "sorti"),
        ("exitus", "home"),
        ("gestorven", "ontslagen"),
        ("fallecido", "alta"),
        ("Deceased", "Discharged"),
        ("Deceased", "Home"),
        ("Non-survivor", "Survivor"),
    ],
)
def test_yes_and_no_are_told_apart(yes: str, no: str) -> None:
    for values in ((yes, no), (no, yes)):
        assert yes_and_no(column("died", *values)) == ((yes,), (no,))


@pytest.mark.parametrize("values", [("m", "f"), ("K", "M"), ("männlich", "weiblich"), ("H", "F")])
def test_two_values_tell_the_sexes_whatever_the_column_is_called(values: tuple[str, str]) -> None:
    assert holds_sexes(column("plec", *values))
    assert not holds_sexes(column("plec", "ja", "nein"))


def test_a_kind_of_discharge_may_say_a_death() -> None:
    assert says_death(column("Entlassungsart", "nach Hause", "verstorben"))
    assert not says_death(column("Entlassungsart", "nach Hause", "verlegt"))


def test_a_value_that_no_word_decides_is_marked() -> None:
    assert first_is_yes(column("died", "a", "b")) is None
    assert first_is_yes(column("died", "0", "1")) is False


@pytest.mark.parametrize("values", [("Deceased", "Discharged"), ("Non-survivor", "Survivor")])
def test_a_state_at_discharge_says_a_death(values: tuple[str, str]) -> None:
    state = column("state", *values)
    assert propose_outcomes([state]) == {MORTALITY: (state, (values[0],), (values[1],))}


def test_a_column_named_deceased_says_a_death() -> None:
    assert list(propose_outcomes([column("deceased", "0", "1")])) == [MORTALITY]


def test_only_one_column_is_the_mortality_and_no_outcome_replaces_another() -> None:
    kind = column("Entlassungsart", "verstorben", "nach Hause")
    died = column("verstorben", "ja", "nein")
    other = column("Died in hospital", "1", "0")

    outcomes = propose_outcomes([kind, died, other, column("verlegt", "ja", "nein")])

    assert outcomes[MORTALITY] == (died, ("ja",), ("nein",))
    assert outcomes[kind.words] == (kind, ("verstorben",), ("nach Hause",))
    assert list(outcomes) == [kind.words, MORTALITY, other.words, "verlegt"]


def test_columns_of_one_name_in_plain_words_stay_two_outcomes() -> None:
    two = [column("Sepsis", "ja", "nein"), column("SEPSIS", "1", "0")]
    assert [one for one, *_ in propose_outcomes(two).values()] == two
