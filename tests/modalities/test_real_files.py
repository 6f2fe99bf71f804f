"""What is said of real ECGs and X-rays, with the oddities that real files have."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr import Cxr
from clinical_symile.modalities.ecg import LEADS, Ecg

# What is said of each: the notes on one that is used, or the reason and detail of a refusal.
ECGS = {
    "00001_lr": "resampled",  # 100 Hz
    "100_3chan": "leads-missing: no aVR, aVL, aVF, V1, V2, V3, V4, V5, V6; expected the 12 leads",
    "3000003_0003": (
        "leads-missing: no I, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6; expected the 12 leads"
    ),
    "A0001": "cropped",  # 15 s
    "A0002": "",
    "A0003": "",
    "A0004": "cropped",  # 11.9 s
    "DERIVED_mimicorder_E07504": "",
    "E00001": "not-readable: wfdb: HeaderSyntaxError",  # the date is no date of WFDB
    "E07500": "",
    "E07502": "",
    "E07504": "",
    "E07506": "",
    "E07508": "",
    "E07512": "",
    "E07514": "",
    "E07516": "",
    "E07518": "",
    "HR00001": "amplitude artefact",  # a gain that is wrong by a factor of five
    "HR06000": "",  # mv in small letters
    "HR06002": "",
    "HR06004": "",
    "HR06006": "",
    "HR06008": "",
    "JS20001": "",
    "JS20003": "",
    "JS20005": "",
    "JS20007": "artefact",
    "JS20008": "flat-leads",  # V2, V4, V6
    "JS20009": "",
    "JS20011": "artefact",
    "JS20013": "",
    "JS20015": "",
    "JS20017": "",
    "JS20019": "artefact",
    "Q0001": "",
    "Q0003": "cropped",
    "Q0048": "",
    "Q0398": "cropped",
    "ludb-ecg": "limb-leads",  # each lead has a gain of its own, which the file does not tell
}
XRAYS = {
    "00000001_000-Cardiomegaly.png": "",
    "00000001_000_512.png": "",
    "00000001_001-Cardiomegaly-Emphysema.png": "",
    "00000001_002-Cardiomegaly-Effusion-2.png": "",
    "00000001_002-Cardiomegaly-Effusion.png": "",
    "00000001_002-Cardiomegaly-Effusion2.png": "",
    "00000053_001.png": "",
    "DERIVED_16bit_inverted_from_RG1.png": "inverted",
    "acute-respiratory-distress-syndrome-ards-1.jpg": "",
    "covid-19-pneumonia-19.jpg": "",
    "covid-19-pneumonia-2.jpg": "",
    "covid-19-pneumonia-7-PA.jpg": "",
    "covid_metadata_subset.csv": "not-readable: neither an image that Pillow knows nor a DICOM",
    "eurorad_16747_3_1.jpg": "",
    "kjr-21-e24-g001-l-a.jpg": "",
    "kjr-21-e24-g003-l-a.jpg": "",
    "nih_labels_subset.csv": "not-readable: neither an image that Pillow knows nor a DICOM",
    "pneumocystis-pneumonia-2-PA.png": "",
    "siim_pneumothorax.dcm": "",  # JPEG in DICOM
    "streptococcus-pneumoniae-pneumonia-1.jpg": "",
    "streptococcus-pneumoniae-pneumonia-temporal-evolution-1-day0.jpg": "",
    "streptococcus-pneumoniae-pneumonia-temporal-evolution-1-day1.jpg": "",
    "streptococcus-pneumoniae-pneumonia-temporal-evolution-1-day2.jpg": "",
    "tbx11k_h0001.png": "",
    "tbx11k_tb0005.png": "",
}


def verdict(adapter: Cxr | Ecg, file: Path) -> str:
    notes: list[str] = []
    try:
        assert adapter.read({"file": file.name}, file.parent, notes.append) is not None
    except Rejected as rejected:
        return f"{rejected.reason}: {rejected.detail}"
    return " ".join(notes)


def read_ecg(folder: Path, name: str) -> np.ndarray:
    measured = Ecg(folder, path="{file}").read({"file": name}, folder)
    assert measured is not None
    return measured


def test_every_real_ecg_has_its_verdict(shared: Path) -> None:
    folder = shared / "real" / "ecg_wfdb"
    adapter = Ecg(folder, path="{file}")
    assert {file.stem: verdict(adapter, file) for file in folder.glob("*.hea")} == ECGS


def test_every_real_xray_has_its_verdict(shared: Path) -> None:
    folder = shared / "real" / "cxr"
    adapter = Cxr(folder, path="{file}")
    assert {file.name: verdict(adapter, file) for file in folder.iterdir()} == XRAYS


def test_values_of_real_ecgs_are_what_the_bytes_say(shared: Path) -> None:
    """Interleaved 16-bit numbers after 24 bytes, less the baseline, divided by the gain."""
    folder, compared = shared / "real" / "ecg_wfdb", 0
    for name in (name for name, said in ECGS.items() if ":" not in said):
        if not (folder / f"{name}.mat").is_file():
            continue
        lines = (folder / f"{name}.hea").read_text().splitlines()[1:13]
        counts = np.frombuffer((folder / f"{name}.mat").read_bytes()[24:], dtype="<i2")
        measured = read_ecg(folder, name)
        for place, line in enumerate(lines):
            _, layout, gain, _, baseline, *_, lead = line.split()
            assert layout in ("16+24", "16x1+24")
            per_mv = float(re.split(r"[(/]", gain)[0])
            values = (counts[place::12][:5000].astype(float) - float(baseline)) / per_mv * 1000
            stored = measured[[known.lower() for known in LEADS].index(lead.lower())]
            np.testing.assert_array_equal(stored, np.rint(values), err_msg=f"{name} {lead}")
            compared += 1
    assert compared == 34 * 12


def test_brightness_of_real_xrays_is_that_of_the_centre_of_the_file(shared: Path) -> None:
    """A 4 by 4 grid of means over the centre square, by plain averages of the file's pixels."""
    folder, compared = shared / "real" / "cxr", 0
    for name, said in XRAYS.items():
        if ":" in said or name.startswith(("DERIVED", "siim")):
            continue
        stored = Cxr(folder, path="{file}").read({"file": name}, folder)
        assert stored is not None
        with Image.open(folder / name) as opened:
            pixels = np.asarray(opened.convert("RGB"), dtype=float) @ [0.299, 0.587, 0.114]
        height, width = pixels.shape
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        centre = pixels[top : top + edge, left : left + edge]
        np.testing.assert_allclose(_grid(stored[0]), _grid(centre), atol=2.5, err_msg=name)
        compared += 1
    assert compared == 21


def _grid(pixels: np.ndarray) -> np.ndarray:
    rows = [part.mean(axis=0) for part in np.array_split(pixels.astype(float), 4)]
    return np.array([[part.mean() for part in np.array_split(row, 4)] for row in rows])


def test_a_header_whose_signal_was_not_downloaded_is_a_missing_file(shared: Path) -> None:
    folder = shared / "real" / "other" / "mimic_iv_ecg_demo"
    said = verdict(Ecg(folder, path="{file}"), folder / "40689238.hea")
    assert said == "file-missing: the header is there, its signal file is not"


def test_an_image_without_content_is_rejected(shared: Path) -> None:
    folder = shared / "real" / "other" / "fake_mimic_cxr_jpg"
    files = sorted(folder.rglob("*.jpg"))
    assert files
    for file in files:
        assert verdict(Cxr(folder, path="{file}"), file).startswith("constant")


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
