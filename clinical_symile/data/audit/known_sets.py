"""Find public data sets that both an encoder's training and a cohort come from.

A cohort is known by its name, title and citation, an encoder by the training data that its task
states. Names of other sets are compared as they are written.
"""

import re
from collections.abc import Iterable

from clinical_symile.data.store import CohortStore

# How a public data set may be written, without signs and in lower case.
_SPELLINGS = {
    "MIMIC-CXR": ("mimiccxr",),
    "MIMIC-IV-ECG": ("mimicivecg",),
    "CheXpert": ("chexpert",),
    "PTB-XL": ("ptbxl",),
    "CODE-15%": ("code15",),
    "NIH ChestX-ray14": ("chestxray14", "chestxray8", "nihcxr"),
    "PadChest": ("padchest",),
    "VinDr-CXR": ("vindrcxr",),
}
# What cohorts consist of whose title and citation do not say so.
_PARTS = {"symile_mimic": ("MIMIC-CXR", "MIMIC-IV-ECG")}


def shared_sets(training_data: Iterable[str], store: CohortStore) -> list[str]:
    """Return the data sets that an encoder was trained on and that a store's cohort is of.

    Args:
        training_data: the names that a task states.
        store: a prepared cohort.
    """
    about = store.manifest
    cohort = _known(" ".join(str(about[key]) for key in ("cohort", "title", "citation")))
    cohort |= set(_PARTS.get(store.cohort.partition("/")[0], ()))
    names = {_plain(store.cohort), _plain(str(about["title"]))}
    found = []
    for stated in training_data:
        found += sorted(_known(stated) & cohort) or [stated] * (_plain(stated) in names)
    return list(dict.fromkeys(found))


def _known(text: str) -> set[str]:
    plain = _plain(text)
    return {name for name, forms in _SPELLINGS.items() if any(form in plain for form in forms)}


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()
