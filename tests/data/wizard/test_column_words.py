"""Names of columns and values are understood in four languages."""

import pandas as pd
import pytest

from clinical_symile.data.wizard.column_words import has_hint, yes_and_no
from clinical_symile.data.wizard.profile import Column


def column(name: str, *values: str) -> Column:
    return Column(name, pd.Series(values, dtype=object), len(values), (), False, False)


@pytest.mark.parametrize(
    ("meaning", "names"),
    [
        ("sample", ("FallNr", "hadm_id", "NumSéjour", "Episodio")),
        ("subject", ("PatNr", "subject_id", "IPP", "NHC")),
        ("admitted", ("Aufnahme", "admittime", "DateEntrée", "FechaIngreso")),
        ("discharged", ("Entlassung", "dischtime", "DateSortie", "FechaAlta")),
        ("birth", ("GebDatum", "dob", "DateNaissance", "FechaNacimiento")),
        ("sex", ("Geschlecht", "gender", "Sexe", "Sexo")),
        ("death", ("Todesdatum", "deathtime", "DateDécès", "FechaFallecimiento")),
        ("unit", ("Einheit", "uom", "Unité", "Unidad")),
    ],
)
def test_a_meaning_is_found_in_every_language(meaning: str, names: tuple[str, ...]) -> None:
    assert [name for name in names if not has_hint(column(name), meaning)] == []
    assert not has_hint(column("Bemerkung"), meaning)


@pytest.mark.parametrize(
    ("yes", "no"), [("J", "N"), ("yes", "no"), ("Oui", "Non"), ("Sí", "No"), ("1", "0"), ("b", "a")]
)
def test_yes_and_no_are_told_apart(yes: str, no: str) -> None:
    for values in ((yes, no), (no, yes)):
        assert yes_and_no(column("died", *values)) == ((yes,), (no,))
