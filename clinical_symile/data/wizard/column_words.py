"""Recognize what column names and values mean, in seven languages of Europe.

English, German, French, Spanish, Italian, Portuguese and Dutch.
"""

from collections.abc import Sequence

from clinical_symile.data.wizard.profile import Column, plain_words

MORTALITY = "in_hospital_mortality"

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
        *("entlass", "disch", "austritt", "ende", "end"),
        *("sortie", "fin", "alta", "egreso"),
        *("dimission", "uscita", "saida", "ontslag", "einde"),
    ),
    "birth": ("geb", "birth", "dob", "naiss", "nacim", "nascit", "nasc"),
    "sex": ("sex", "geschlecht", "gender", "genre", "genero", "sesso", "geslacht"),
    "death": (
        *("verstorben", "tod", "died", "death", "dead", "deceas", "mort", "exitus", "expire"),
        *("sterbe", "dod", "deces", "decede", "fallec", "defunc", "muert"),
        *("deced", "obito", "falec", "overl", "gestorven"),
    ),
    "unit": ("einheit", "unit", "unidad", "uom", "eenheid"),
    "ecg": ("ekg", "ecg"),
}
_YES = {"1", "ja", "j", "y", "yes", "true", "wahr", "verstorben", "dead", "died", "tot", "x"}
_YES |= {"oui", "o", "si", "s", "vrai", "decede", "fallecido", "sim", "vero", "waar"}
_NO = {"0", "nein", "n", "no", "false", "falsch", "lebend", "alive", "survived", "survivor"}
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
    return _hints_at(column.words, meaning)


def _hints_at(words: str, meaning: str) -> bool:
    return any(part.startswith(hint) for part in words.split("_") for hint in _HINTS[meaning])


def holds_sexes(column: Column) -> bool:
    """Return True if the values of a column tell the sexes, such as m and f."""
    return {plain_words(value) for value in column.distinct} in _SEXES


def says_death(column: Column) -> bool:
    """Return True if a column's name or one of its two values means a death."""
    return has_hint(column, "death") or any(map(_means_death, column.distinct))


def _means_death(value: str) -> bool:
    words = plain_words(value)
    return _hints_at(words, "death") or words.replace("_", "").startswith("nonsurviv")


def yes_and_no(column: Column) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values that mean yes and no, as `first_is_yes` says; by the alphabet without it.

    A proposal by the alphabet is marked in `cohort.toml`.
    """
    first, second = sorted(column.distinct)
    return ((first,), (second,)) if first_is_yes(column) else ((second,), (first,))


def first_is_yes(column: Column) -> bool | None:
    """Return True if the first of two values by the alphabet means yes; None if no word says so.

    The only value that means a death is yes.
    """
    first, second = sorted(column.distinct)
    yes = [plain_words(value) in _YES for value in (first, second)]
    no = [plain_words(value) in _NO for value in (first, second)]
    died = [_means_death(value) for value in (first, second)]
    for is_first, is_second in (yes, no[::-1], died):
        if is_first != is_second:
            return is_first
    return None


def propose_outcomes(
    columns: Sequence[Column],
) -> dict[str, tuple[Column, tuple[str, ...], tuple[str, ...]]]:
    """Return the columns of two values by the name of an outcome, with their yes and no.

    The first column that means a death, by its name before by its values, is the mortality. Every
    other one keeps its own name.
    """
    two = [one for one in columns if not one.is_date and len(one.distinct) == 2]
    named = (one for one in two if has_hint(one, "death"))
    death = next(named, None) or next((one for one in two if says_death(one)), None)
    outcomes: dict[str, tuple[Column, tuple[str, ...], tuple[str, ...]]] = {}
    for column in two:
        words = name = MORTALITY if column is death else column.words
        number = 2
        while name in outcomes or (name == MORTALITY and column is not death):
            name, number = f"{words}_{number}", number + 1
        outcomes[name] = (column, *yes_and_no(column))
    return outcomes
