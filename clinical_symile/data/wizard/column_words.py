"""Recognize what column names and values mean, in English, German, French and Spanish."""

from clinical_symile.data.wizard.profile import Column, plain_words

# Beginnings of parts of column names, by meaning.
_HINTS = {
    "sample": (
        *("fall", "stay", "adm", "hadm", "encounter", "visit", "case", "aufenthalt"),
        *("sejour", "hospitalis", "episod", "hospitaliz"),
    ),
    "subject": ("pat", "person", "subject", "mrn", "proband", "ipp", "paciente", "nhc"),
    "admitted": (
        *("aufnahme", "admit", "admission", "eintritt", "arriv", "start", "beginn"),
        *("entree", "debut", "ingreso", "llegada", "inicio"),
    ),
    "discharged": (
        *("entlassung", "disch", "austritt", "ende", "end"),
        *("sortie", "fin", "alta", "egreso"),
    ),
    "birth": ("geb", "birth", "dob", "naiss", "nacim"),
    "sex": ("sex", "geschlecht", "gender", "genre", "genero"),
    "death": (
        *("verstorben", "tod", "died", "death", "dead", "mort", "exitus", "expire"),
        *("sterbe", "dod", "deces", "decede", "fallec", "defunc", "muert"),
    ),
    "unit": ("einheit", "unit", "unidad", "uom"),
    "ecg": ("ekg", "ecg"),
}
_YES = {"1", "ja", "j", "y", "yes", "true", "wahr", "verstorben", "dead", "died", "tot", "x"}
_YES |= {"oui", "o", "si", "s", "vrai", "decede", "fallecido"}
_NO = {"0", "nein", "n", "no", "false", "falsch", "lebend", "alive", "survived"}
_NO |= {"non", "faux", "vivant", "vivo"}


def has_hint(column: Column, meaning: str) -> bool:
    """Return True if a column's name suggests a meaning.

    Args:
        column: the column.
        meaning: `sample`, `subject`, `admitted`, `discharged`, `birth`, `sex`, `death`, `unit` or
            `ecg`.
    """
    parts = column.words.split("_")
    return any(part.startswith(hint) for part in parts for hint in _HINTS[meaning])


def yes_and_no(column: Column) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values that mean yes and no.

    Where the words do not say it, the order of the alphabet decides.
    """
    first, second = sorted(column.distinct)
    if plain_words(first) in _YES or plain_words(second) in _NO:
        return (first,), (second,)
    return (second,), (first,)
