"""Public data sets in the training of an encoder and in a cohort."""

from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.data.audit.audit import audit_store
from clinical_symile.data.audit.finding import Severity, file_names
from clinical_symile.data.audit.known_sets import shared_sets
from clinical_symile.data.store import CohortStore

CITATION = "Johnson et al., MIMIC-IV; MIMIC-CXR-JPG, https://doi.org/x; Gow et al., MIMIC-IV-ECG"


def of(store: CohortStore, **about: str) -> CohortStore:
    return replace(store, manifest={**store.manifest, **about})


@pytest.mark.parametrize(
    ("stated", "shared"),
    [
        (["MIMIC-CXR"], ["MIMIC-CXR"]),
        (["mimic_cxr 2.0.0 (JPG)", "CheXpert"], ["MIMIC-CXR"]),
        (["MIMIC-IV-ECG", "PTB-XL"], ["MIMIC-IV-ECG"]),
        (["CheXpert", "NIH ChestX-ray14"], []),
        ([], []),
    ],
)
def test_sets_are_known_in_several_spellings(
    synthetic_store: CohortStore, stated: list[str], shared: list[str]
):
    assert shared_sets(stated, of(synthetic_store, citation=CITATION)) == shared
    assert shared_sets(stated, synthetic_store) == []


def test_parts_of_a_cohort_and_its_own_name_count(synthetic_store: CohortStore):
    mimic = of(synthetic_store, cohort="symile_mimic")
    assert shared_sets(["MIMIC-CXR"], mimic) == ["MIMIC-CXR"]
    assert shared_sets(["Synthetic hospital"], synthetic_store) == ["Synthetic hospital"]


def test_the_audit_warns_of_a_shared_set_and_finds_listed_recordings(
    synthetic_store: CohortStore, tmp_path: Path
):
    def findings(**fields: object) -> dict[str, Severity]:
        encoder = EncoderConfig.model_validate({"name": "resnet18", "weights": "w", **fields})
        found = audit_store(of(synthetic_store, citation=CITATION), encoders={"cxr": encoder})
        return {f.check: f.severity for f in found if f.check in ("training_data", "pretraining")}

    assert findings() == {}
    assert findings(training_data=["MIMIC-CXR"]) == {"training_data": Severity.WARNING}
    assert findings(training_data=["CheXpert"]) == {"training_data": Severity.FINE}
    assert findings(training_data=[]) == {"training_data": Severity.NOTE}
    names = file_names(synthetic_store)["cxr"]
    held_out = next(
        n
        for n, s in zip(names, synthetic_store.samples["split"], strict=True)
        if n and s == "held_out"
    )
    (tmp_path / "list.txt").write_text(f"{held_out}\n")
    assert findings(training_data=[], training_list=str(tmp_path / "list.txt")) == {
        "training_data": Severity.NOTE,
        "pretraining": Severity.ERROR,
    }
