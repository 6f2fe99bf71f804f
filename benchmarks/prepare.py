"""How quickly files are read, and how the memory of `prepare` depends on the number of samples.

`.venv/bin/python benchmarks/prepare.py --out FOLDER --reading` reads files of MIMIC's sizes by this
package and by the libraries that others use, in turn, and writes `benchmarks/results/reading.md`
with the time that all of MIMIC-IV takes at these rates.

`.venv/bin/python benchmarks/prepare.py --out FOLDER` writes `benchmarks/results/prepare.md`.
Tables are those of `benchmarks/cohort.py`, with 20 lab rows an admission; the cohort is
`mimic_iv/all` with at least one modality, but every X-ray and every ECG is read from one of two
pictures of 32 x 32 pixels: what is left is the work of `prepare` itself.
"""

import argparse
import gc
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import wfdb
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.cohort import Cohort, ModalityDefinition, read_cohort
from clinical_symile.data.ingest.worker_pool import available_cores
from clinical_symile.data.prepare import prepare
from clinical_symile.modalities.cxr import Cxr
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.waveform_files.detect import open_waveform

try:
    from benchmarks.cohort import write_tables
except ImportError:  # run as a script
    from cohort import write_tables  # pyright: ignore[reportMissingImports]

RESULTS = Path(__file__).parent / "results"
SIZES = (50_000, 200_000, 546_028)  # admissions; the last is MIMIC-IV 3.1
EDGE_PX = 32
ROUNDS, ROUND_S = 15, 0.15
RECORDS = 40  # ECGs of a kind that are read in turn
MIMIC_CXR, MIMIC_ECG = 377_110, 800_035  # files of MIMIC-CXR 2.1 and MIMIC-IV-ECG 1.0
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


def reading(folder: Path, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Files of MIMIC's sizes read in a second by one core, by us and by others in turn.

    A row is a kind of file, our rate, the other's and the median over rounds of their ratio; it has
    only our rate where no library does the same.
    """
    _write_files(folder)
    ecg, cxr = Ecg(folder, path="{file}"), Cxr(folder, path="{file}")
    fast, wfdb_name = Cxr(folder, path="{file}", fast_decode=True), "wfdb.rdrecord"

    def opened(name: str) -> object:
        recording = open_waveform(folder / name, seconds=10)
        return recording.millivolts(LEADS, 0, recording.times)

    def of_wfdb(name: str) -> object:
        return wfdb.rdrecord(str(folder / name))

    def of_pillow(name: str) -> object:
        with Image.open(folder / name) as image:
            return _resized(image if image.mode == "L" else image.convert("L"))

    def of_pydicom(name: str) -> object:
        return _resized(Image.fromarray(dcmread(folder / name).pixel_array.astype(np.float32)))

    def stored(adapter: Ecg | Cxr) -> Callable[[str], object]:
        return lambda name: adapter.read({"file": name}, folder)

    ecgs, ptb_xl = [f"e{n}" for n in range(RECORDS)], [f"p{n}" for n in range(RECORDS)]
    pillow, pydicom_name = "Pillow", "pydicom, Pillow"
    kinds = [
        ("ECG, WFDB, 500 Hz: open, checksum, millivolts", ecgs, opened, wfdb_name, of_wfdb),
        ("ECG, WFDB, 100 Hz: open, checksum, millivolts", ptb_xl, opened, wfdb_name, of_wfdb),
        ("ECG, WFDB, 500 Hz: with all checks, as stored", ecgs, stored(ecg), "", None),
        ("X-ray, JPEG", ["x.jpg"], stored(cxr), pillow, of_pillow),
        ("X-ray, JPEG, `fast_decode`", ["x.jpg"], stored(fast), pillow, of_pillow),
        ("X-ray, JPEG of three channels", ["rgb.jpg"], stored(cxr), pillow, of_pillow),
        ("X-ray, PNG", ["x.png"], stored(cxr), pillow, of_pillow),
        ("X-ray, DICOM", ["plain.dcm"], stored(cxr), pydicom_name, of_pydicom),
        ("X-ray, DICOM with a window", ["window.dcm"], stored(cxr), pydicom_name, of_pydicom),
        ("X-ray, DICOM in JPEG-LS", ["jpegls.dcm"], stored(cxr), pydicom_name, of_pydicom),
    ]
    return [
        {"file": kind, "other": name} | _side_by_side(files, ours, other, rounds)
        for kind, files, ours, name, other in kinds
    ]


def _side_by_side(
    files: list[str],
    ours: Callable[[str], object],
    other: Callable[[str], object] | None,
    rounds: int,
) -> dict[str, Any]:
    """Rates of both; rounds take turns, and the first is not counted."""
    ways = [way for way in (ours, other) if way is not None]
    seconds = [[_seconds(way, files) for way in ways] for _ in range(rounds + 1)]
    found = np.array(seconds[1:])
    rates = (1 / np.median(found, axis=0)).tolist()
    if other is None:
        return {"ours": rates[0]}
    ratio = float(np.median(found[:, 1] / found[:, 0]))
    return {"ours": rates[0], "others": rates[1], "ratio": ratio}


def _seconds(read: Callable[[str], object], files: list[str]) -> float:
    """Processor time of one file, over all files as often as fit into a round."""
    gc.collect()
    gc.disable()  # as `timeit` does
    start, done = time.process_time(), 0
    while (spent := time.process_time() - start) < ROUND_S:
        for name in files:
            read(name)
        done += len(files)
    gc.enable()
    return spent / done


def _resized(image: Image.Image) -> Image.Image:
    """The smaller edge scaled to 320 pixels."""
    size = [320 * edge // min(image.size) for edge in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BILINEAR)


def _write_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rise = np.add.outer(np.linspace(0, 90, CXR_PX[0]), np.linspace(0, 90, CXR_PX[1]))
    grey = np.clip(rise + rng.normal(0, 4, CXR_PX) + 30, 0, 255)
    picture = Image.fromarray(grey.astype(np.uint8))
    picture.save(folder / "x.jpg", quality=95)
    picture.save(folder / "x.png")
    picture.convert("RGB").save(folder / "rgb.jpg", quality=95)
    _write_dicom(folder / "plain.dcm", (grey * 16).astype(np.uint16))
    _write_dicom(folder / "window.dcm", (grey * 16).astype(np.uint16), centre=2000, width=3000)
    _compress(folder / "plain.dcm", folder / "jpegls.dcm")
    for letter, rate_hz, per_mv in (("e", 500, 200.0), ("p", 100, 1000.0)):
        for number in range(RECORDS):
            wfdb.wrsamp(
                f"{letter}{number}",
                fs=rate_hz,
                units=["mV"] * 12,
                sig_name=list(LEADS),
                p_signal=rng.normal(0, 0.3, (10 * rate_hz, 12)),
                fmt=["16"] * 12,
                adc_gain=[per_mv] * 12,
                baseline=[0] * 12,
                write_dir=str(folder),
            )


def _write_dicom(
    file: Path, pixels: np.ndarray, *, centre: int | None = None, width: int | None = None
) -> None:
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
    if width is not None:
        data.WindowCenter, data.WindowWidth = centre, width
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


def page(rows: list[dict[str, Any]]) -> str:
    """Memory and seconds of each size as Markdown."""
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
    about = (
        f"On {available_cores()} cores ({platform.machine()}). Memory is the most that the "
        "process held; one reading process runs on each core beside it. Every X-ray and every ECG "
        f"is a picture of {EDGE_PX} x {EDGE_PX} pixels."
    )
    return "\n".join([*table, "", about, ""])


def reading_page(rows: list[dict[str, Any]], rounds: int) -> str:
    """Rates of reading, and what they make of all of MIMIC-IV, as Markdown."""
    read = [
        "| file | read in a second by one core | by | | times as many |",
        "|---|--:|---|--:|--:|",
        *(
            f"| {row['file']} | {row['ours']:,.0f} | {row['other']} | {row['others']:,.0f} | "
            f"{row['ratio']:.2f} |"
            if "ratio" in row
            else f"| {row['file']} | {row['ours']:,.0f} | | | |"
            for row in rows
        ),
    ]
    rates = {row["file"]: row["ours"] for row in rows}
    seconds = {
        f"every X-ray, {MIMIC_CXR:,} JPEG": MIMIC_CXR / rates["X-ray, JPEG"],
        "the same, `fast_decode`": MIMIC_CXR / rates["X-ray, JPEG, `fast_decode`"],
        f"every ECG, {MIMIC_ECG:,} WFDB": MIMIC_ECG
        / rates["ECG, WFDB, 500 Hz: with all checks, as stored"],
    }
    plan = [
        "| all of MIMIC-IV | core-hours | 2 cores, min | 16 cores, min |",
        "|---|--:|--:|--:|",
        *(
            f"| {name} | {s / 3600:.2f} | {s / 120:.0f} | {s / 960:.0f} |"
            for name, s in seconds.items()
        ),
    ]
    about = (
        f"Processor time, the median of {rounds} rounds that take turns; the ratio is the median "
        f"of the rounds' ratios. {platform.machine()}, WFDB {version('wfdb')}, Pillow "
        f"{version('pillow')}, pydicom {version('pydicom')}. Images are {CXR_PX[0]:,} x "
        f"{CXR_PX[1]:,} pixels, of 8 bits as JPEG and PNG and of 12 as DICOM. Ours is all that "
        "`prepare` does with a file. Pillow decodes and resizes; pydicom decodes, without the "
        "window, and Pillow resizes. ECGs have 12 leads of 10 s. Core-hours are arithmetic: "
        "nothing of MIMIC's size was read."
    )
    return "\n".join([*read, "", *plan, "", about, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of tables and stores")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="admissions")
    parser.add_argument("--reading", action="store_true", help="measure reading alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of reading")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables")
    parser.add_argument("--measure", type=int, help="measure one size here, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.out)))
        return
    if options.reading:
        text = reading_page(reading(options.out / "files", options.rounds), options.rounds)
        (options.results / "reading.md").write_text(text, encoding="utf-8")
        print(text)
        return
    rows = []
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
        (options.results / "prepare.md").write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
