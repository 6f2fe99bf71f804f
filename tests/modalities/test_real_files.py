"""What is said of real ECGs and X-rays, with the oddities that real files have."""

from pathlib import Path

import numpy as np
import pytest

from clinical_symile.modalities.cxr import Cxr
from clinical_symile.modalities.ecg import Ecg
from clinical_symile.modalities.modality import Rejected

ECG_REJECTED = {
    "100_3chan": ("leads-missing", "aVR, aVL, aVF, V1, V2, V3, V4, V5, V6"),
    "3000003_0003": ("leads-missing", "I, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6"),
    "E00001": ("not-readable", "HeaderSyntaxError"),
}
CXR_REJECTED = {
    "covid_metadata_subset.csv": ("not-readable", "neither an image"),
    "nih_labels_subset.csv": ("not-readable", "neither an image"),
}


def verdict(adapter: Cxr | Ecg, file: Path) -> tuple[str, str]:
    try:
        assert adapter.read({"file": file.name}, file.parent) is not None
    except Rejected as rejected:
        return rejected.reason, rejected.detail
    return "", ""


def read_ecg(folder: Path, name: str) -> np.ndarray:
    measured = Ecg(folder, path="{file}").read({"file": name}, folder)
    assert measured is not None
    return measured


def test_every_real_ecg_is_read_or_rejected_for_what_is_wrong_with_it(shared: Path) -> None:
    folder = shared / "real" / "ecg_wfdb"
    verdicts = {
        file.stem: verdict(Ecg(folder, path="{file}"), file) for file in folder.glob("*.hea")
    }
    assert len(verdicts) == 40
    rejected = {name: said for name, said in verdicts.items() if said[0]}
    assert rejected.keys() == ECG_REJECTED.keys()
    for name, (reason, detail) in ECG_REJECTED.items():
        assert rejected[name][0] == reason
        assert detail in rejected[name][1]


def test_every_real_xray_is_read_or_rejected_for_what_is_wrong_with_it(shared: Path) -> None:
    folder = shared / "real" / "cxr"
    verdicts = {file.name: verdict(Cxr(folder, path="{file}"), file) for file in folder.iterdir()}
    assert len(verdicts) == 25
    rejected = {name: said for name, said in verdicts.items() if said[0]}
    assert rejected.keys() == CXR_REJECTED.keys()
    for name, (reason, detail) in CXR_REJECTED.items():
        assert rejected[name][0] == reason
        assert detail in rejected[name][1]


def test_a_header_whose_signal_was_not_downloaded_is_a_missing_file(shared: Path) -> None:
    folder = shared / "real" / "other" / "mimic_iv_ecg_demo"
    said = verdict(Ecg(folder, path="{file}"), folder / "40689238.hea")
    assert said == ("file-missing", "the header is there, its signal file is not")


def test_an_image_without_content_is_rejected(shared: Path) -> None:
    folder = shared / "real" / "other" / "fake_mimic_cxr_jpg"
    files = sorted(folder.rglob("*.jpg"))
    assert files
    for file in files:
        assert verdict(Cxr(folder, path="{file}"), file)[0] == "constant"


def test_the_order_of_leads_in_the_file_does_not_matter(shared: Path) -> None:
    folder = shared / "real" / "ecg_wfdb"
    ours = read_ecg(folder, "E07504")
    reordered = read_ecg(folder, "DERIVED_mimicorder_E07504")  # 5 µV per unit
    np.testing.assert_allclose(ours, reordered, atol=3)


@pytest.mark.parametrize("name", ["00001_lr", "A0001", "E07504", "HR06000", "JS20008"])
def test_limb_leads_obey_einthoven(shared: Path, name: str) -> None:
    """I + III = II and aVR + aVL + aVF = 0, whatever the file's order, rate, unit and gain."""
    one, two, three, avr, avl, avf = read_ecg(shared / "real" / "ecg_wfdb", name)[:6].astype(float)
    assert np.abs(one + three - two).mean() < 0.05 * np.abs(two).mean() + 2
    assert np.abs(avr + avl + avf).mean() < 0.05 * np.abs(avr).mean() + 2
