"""How the memory of `prepare` depends on the number of samples, and how quickly files are read.

Run with `.venv/bin/python benchmarks/prepare.py --out FOLDER`; it writes
`benchmarks/results/prepare.md`. Tables are those of `benchmarks/cohort.py`, with 20 lab rows an
admission; the cohort is `mimic_iv/all` with at least one modality, but every X-ray and every ECG is
read from one of two pictures of 32 x 32 pixels: what is left is the work of `prepare` itself.
"""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import wfdb
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.cohort import Cohort, ModalityDefinition, read_cohort
from clinical_symile.data.ingest.worker_pool import available_cores
from clinical_symile.data.prepare import prepare
from clinical_symile.modalities.cxr import Cxr
from clinical_symile.modalities.ecg import LEADS, Ecg

try:
    from benchmarks.cohort import write_tables
except ImportError:  # run as a script
    from cohort import write_tables  # pyright: ignore[reportMissingImports]

RESULTS = Path(__file__).parent / "results" / "prepare.md"
SIZES = (50_000, 200_000, 546_028)  # admissions; the last is MIMIC-IV 3.1
EDGE_PX = 32
REPEATS = 20
CXR_PX = (3056, 2544)  # height and width of most pictures of MIMIC-CXR


def cheap_cohort(folder: Path) -> Cohort:
    """`mimic_iv/all` over pictures that cost next to nothing."""
    name = "mimic_iv/all"
    cohort = read_cohort(open_catalog().path("cohorts", name), name=name)
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for view in ("AP", "PA"):
        pixels = np.random.default_rng(len(view)).integers(0, 256, (EDGE_PX, EDGE_PX))
        Image.fromarray(pixels.astype(np.uint8)).save(pictures / f"{view}.png")
    cheap = {
        "cxr": {"path": "pictures/{cxr_view}.png", "size_px": EDGE_PX},
        "ecg": {"path": "pictures/AP.png", "size_px": EDGE_PX},
    }
    modalities = {
        key: ModalityDefinition("cxr", cheap[key], definition.candidates)
        if key in cheap
        else definition
        for key, definition in cohort.modalities.items()
    }
    samples = cohort.samples.model_copy(update={"at_least": 1})
    return replace(cohort, modalities=modalities, samples=samples)


def measure(admissions: int, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of one `prepare`, in this process and in those that read.

    Selection ends when the first samples are read. Linux reports the peak memory of a process.
    """
    cohort, start, out = cheap_cohort(folder), time.perf_counter(), folder / "store"
    shutil.rmtree(out, ignore_errors=True)
    selected: list[float] = []
    readers: set[float] = {0.0}

    def progress(done: int, total: int) -> None:
        if not selected:
            selected.extend([time.perf_counter(), _most_held()])
            _forget()
        if done % 64 == 0:
            readers.update(_most_held(child.pid or "self") for child in active_children())

    store = prepare(cohort, source=folder, out=out, progress=progress)
    end = time.perf_counter()
    shutil.rmtree(out)
    return {
        "admissions": admissions,
        "samples": len(store.samples),
        "selection_s": selected[0] - start,
        "rest_s": end - selected[0],
        "selection_gb": selected[1],
        "rest_gb": _most_held(),
        "reader": max(readers),
    }


def _most_held(process: int | str = "self") -> float:
    """The most memory that a process has held since `_forget`, in GB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return sum(int(kb) for kb in re.findall(r"VmHWM:\s+(\d+) kB", status)) * 1024 / 1e9


def _forget() -> None:
    """Have the most that this process holds counted from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def reading(folder: Path) -> dict[str, float]:
    """Files read in a second by one process, of sizes as MIMIC has them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rise = np.add.outer(np.linspace(0, 90, CXR_PX[0]), np.linspace(0, 90, CXR_PX[1]))
    grey = np.clip(rise + rng.normal(0, 4, CXR_PX) + 30, 0, 255)
    Image.fromarray(grey.astype(np.uint8)).save(folder / "x.jpg", quality=95)
    _write_dicom(folder / "plain.dcm", (grey * 16).astype(np.uint16))
    _compress(folder / "plain.dcm", folder / "jpegls.dcm")
    wfdb.wrsamp(
        "e",
        fs=500,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        p_signal=rng.normal(0, 0.3, (5000, 12)),
        fmt=["16"] * 12,
        write_dir=str(folder),
    )
    ecg = Ecg(folder, path="{file}")
    cxr = Cxr(folder, path="{file}")
    return {
        "X-ray, JPEG": _rate(lambda: cxr.read({"file": "x.jpg"}, folder)),
        "X-ray, DICOM": _rate(lambda: cxr.read({"file": "plain.dcm"}, folder)),
        "X-ray, DICOM in JPEG-LS": _rate(lambda: cxr.read({"file": "jpegls.dcm"}, folder)),
        "ECG, WFDB": _rate(lambda: ecg.read({"file": "e"}, folder)),
    }


def _rate(read: Callable[[], object]) -> float:
    read()
    start = time.process_time()
    for _ in range(REPEATS):
        read()
    return REPEATS / (time.process_time() - start)


def _write_dicom(file: Path, pixels: np.ndarray) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    data.SOPClassUID, data.SOPInstanceUID = ComputedRadiographyImageStorage, UID("1.2.3")
    data.Modality, data.ViewPosition, data.PhotometricInterpretation = "DX", "AP", "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.BitsAllocated, data.BitsStored, data.HighBit = 1, 16, 12, 11
    data.PixelRepresentation = 0
    data.PixelData = pixels.tobytes()
    data.save_as(file, enforce_file_format=True)


def _compress(plain: Path, to: Path) -> None:
    """The same DICOM with its pixels in lossless JPEG-LS."""
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(plain))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLSLossless))
    change.SetInput(reader.GetImage())
    change.Change()
    writer.SetFileName(str(to))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()


def page(rows: list[dict[str, Any]], rates: dict[str, float]) -> str:
    """The results as Markdown."""
    table = [
        "| admissions | samples | selection, s | GB | the rest, s | GB | a reader, GB |",
        "|--:|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {row['admissions']:,} | {row['samples']:,} | {row['selection_s']:.0f} | "
            f"{row['selection_gb']:.2f} | {row['rest_s']:.0f} | {row['rest_gb']:.2f} | "
            f"{row['reader']:.2f} |"
            for row in rows
        ),
    ]
    read = [
        "| file | read in a second by one core |",
        "|---|--:|",
        *(f"| {name} | {rate:.0f} |" for name, rate in rates.items()),
    ]
    about = (
        f"On {available_cores()} cores ({platform.machine()}). Memory is the most that the "
        "process held; one reading process runs on each core beside it. Pictures are "
        f"{CXR_PX[0]:,} x {CXR_PX[1]:,} pixels, of 8 bits as JPEG and of 12 as DICOM. ECGs have 12 "
        "leads of 10 s at 500 Hz."
    )
    return "\n".join([*table, "", *read, "", about, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of tables and stores")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="admissions")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--measure", type=int, help="measure one size here, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.out)))
        return
    rows, rates = [], reading(options.out / "files")
    for size in map(int, options.sizes.split(",")):
        folder = options.out / str(size)
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            write_tables(
                partial,
                {
                    "subjects": size * 7 // 10,
                    "admissions": size,
                    "labs": size * 20,
                    "ecgs": size * 3 // 2,
                    "xrays": size,
                },
            )
            partial.rename(folder)
        command = [sys.executable, __file__, "--out", str(folder), "--measure", str(size)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout))
        options.results.write_text(page(rows, rates), encoding="utf-8")


if __name__ == "__main__":
    main()
