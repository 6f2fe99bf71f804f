"""What all adapters share: file names, and faults of the machine."""

import errno
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.cxr import Cxr
from tests.helpers.dicom_files import write_dicom

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))  # dark left, bright right


def read(file: Path, *, size_px: int = 64) -> np.ndarray:
    measured = Cxr(file.parent, path="{file}", size_px=size_px).read(
        {"file": file.name}, file.parent
    )
    assert measured is not None
    return measured[0]


def rejection(file: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(file)
    return caught.value


@pytest.mark.parametrize(
    "fault", [OSError(errno.EIO, "input/output error"), PermissionError(errno.EACCES, "no")]
)
@pytest.mark.parametrize("function", ["PIL.Image.open", "pydicom.dcmread"])
def test_a_fault_of_the_machine_is_no_verdict_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, function: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    write_dicom(tmp_path / "a", RAMP)
    if function == "PIL.Image.open":
        (tmp_path / "a").write_bytes(b"not a DICOM")
    monkeypatch.setattr(function, fail)
    with pytest.raises(type(fault)):
        read(tmp_path / "a")


@pytest.mark.parametrize(
    ("fault", "reason"), [(MemoryError(), "too-large"), (NotImplementedError(), "not-readable")]
)
@pytest.mark.parametrize("function", ["PIL.Image.open", "pydicom.dcmread"])
def test_a_decoder_that_gives_up_is_a_verdict_on_that_file_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    reason: str,
    function: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    write_dicom(tmp_path / "a", RAMP)
    if function == "PIL.Image.open":
        (tmp_path / "a").write_bytes(b"not a DICOM")
    monkeypatch.setattr(function, fail)
    assert rejection(tmp_path / "a").reason == reason


def test_a_name_that_no_file_can_have_is_a_missing_file(tmp_path: Path) -> None:
    assert rejection(tmp_path / ("a" * 300)).reason == "file-missing"


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    assert rejection(tmp_path / "a.jpg").reason == "file-missing"


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png"])
def test_a_name_that_leaves_the_source_folder_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected) as caught:
        Cxr(tmp_path, path="{file}").read({"file": name}, tmp_path)
    assert caught.value.reason == "outside-source"
