"""Recognize what column names and values mean, in seven languages of Europe.

English, German, French, Spanish, Italian, Portuguese and Dutch.
"""

from clinical_symile.data.wizard.profile import Column, plain_words

# Beginnings of parts of column names, by meaning.
_HINTS = {
    "sample": (
        *("fall", "stay", "adm", "hadm", "encounter", "visit", "case", "aufenthalt"),
        *("sejour", "hospitalis", "episod", "hospitaliz"),
        *("ricover", "internament", "internac", "atendiment", "opname"),
    ),
    "subject": (
        *("pat", "person", "subject", "mrn", "proband", "ipp", "paciente", "nhc"),
        *("paz", "assistit", "doente", "utente", "client"),
    ),
    "admitted": (
        *("aufnahme", "admit", "admission", "eintritt", "arriv", "start", "beginn"),
        *("entree", "debut", "ingreso", "llegada", "inicio"),
        *("ingresso", "accettaz", "ricover", "entrada", "opname"),
    ),
    "discharged": (
        *("entlassung", "disch", "austritt", "ende", "end"),
        *("sortie", "fin", "alta", "egreso"),
        *("dimission", "uscita", "saida", "ontslag", "einde"),
    ),
    "birth": ("geb", "birth", "dob", "naiss", "nacim", "nascit", "nasc"),
    "sex": ("sex", "geschlecht", "gender", "genre", "genero", "sesso", "geslacht"),
    "death": (
        *("verstorben", "tod", "died", "death", "dead", "mort", "exitus", "expire"),
        *("sterbe", "dod", "deces", "decede", "fallec", "defunc", "muert"),
        *("deced", "obito", "falec", "overl", "gestorven"),
    ),
    "unit": ("einheit", "unit", "unidad", "uom", "eenheid"),
    "ecg": ("ekg", "ecg"),
}
_YES = {"1", "ja", "j", "y", "yes", "true", "wahr", "verstorben", "dead", "died", "tot", "x"}
_YES |= {"oui", "o", "si", "s", "vrai", "decede", "fallecido", "sim", "vero", "waar"}
_NO = {"0", "nein", "n", "no", "false", "falsch", "lebend", "alive", "survived"}
_NO |= {"non", "faux", "vivant", "vivo", "nao", "nee", "onwaar"}
# Pairs of values that tell the sexes, in any column name.
_SEXES = (
    *({"m", "f"}, {"m", "w"}, {"m", "v"}, {"m", "k"}, {"h", "f"}, {"h", "m"}),
    *({"male", "female"}, {"mannlich", "weiblich"}, {"homme", "femme"}, {"hombre", "mujer"}),
    *({"maschio", "femmina"}, {"masculino", "feminino"}, {"masculino", "femenino"}),
    *({"man", "vrouw"}, {"mann", "frau"}, {"men", "women"}, {"man", "woman"}),
)


def has_hint(column: Column, meaning: str) -> bool:
    """Return True if a column's name suggests a meaning.

    Args:
        column: the column.
        meaning: `sample`, `subject`, `admitted`, `discharged`, `birth`, `sex`, `death`, `unit` or
            `ecg`.
    """
    parts = column.words.split("_")
    return any(part.startswith(hint) for part in parts for hint in _HINTS[meaning])


def holds_sexes(column: Column) -> bool:
    """Return True if the values of a column tell the sexes, such as m and f."""
    return {plain_words(value) for value in column.distinct} in _SEXES


def says_death(column: Column) -> bool:
    """Return True if a column's name or one of its two values means a death."""
    values = (Column(value, column.values, 0, (), False, False) for value in column.distinct)
    return has_hint(column, "death") or any(has_hint(value, "death") for value in values)


def yes_and_no(column: Column) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values that mean yes and no.

    Where the words do not say it, the order of the alphabet decides.
    """
    first, second = sorted(column.distinct)
    if plain_words(first) in _YES or plain_words(second) in _NO:
        return (first,), (second,)
    return (second,), (first,)
