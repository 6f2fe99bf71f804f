"""The kinds of files that are damaged by `tests.helpers.fuzz`: small valid ones, with readers."""

import gzip
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.helpers.fuzz import CANARY, Case
from tests.helpers.fuzz_definitions import DEFINITIONS
from tests.helpers.recordings import LEADS, write_ecg_file

_SIZE = 64


def _heart() -> dict[str, list[int]]:
    """Counts of 12 leads, of 5000 values."""
    time_s = np.arange(5000) / 500
    one, two = (150 * np.sin(2 * np.pi * rate * time_s + 0.5) for rate in (1.3, 1.7))
    limb = (one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    waves = (*limb, *(one * n / 3 + 0.1 * two for n in range(1, 7)))
    return {
        lead: np.rint(wave).astype(int).tolist() for lead, wave in zip(LEADS, waves, strict=True)
    }


def _millivolts() -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 0.02, (5000, 12))
    return np.array(list(_heart().values())).T / 200 + noise


def _reader(adapter: Any, folder: Path, row: dict[str, Any]) -> Callable[[], tuple[Any, list[str]]]:
    def read() -> tuple[Any, list[str]]:
        notes: list[str] = []
        return adapter.read(row, folder, notes.append), notes

    return read


def _ecg(file: Path, *, must_tell: bool = False, **arguments: Any) -> Case:
    from clinical_symile.modalities.ecg import Ecg

    row = {"file": file.name, "exam": 2}
    reader = _reader(Ecg(file.parent, path="{file}", **arguments), file.parent, row)
    return Case(file, reader, must_tell)


def _cxr(file: Path, *, must_tell: bool = False) -> Case:
    from clinical_symile.modalities.cxr import Cxr

    adapter = Cxr(file.parent, path="{file}", size_px=_SIZE)
    return Case(file, _reader(adapter, file.parent, {"file": file.name}), must_tell)


def _wfdb(folder: Path, suffix: str, *, must_tell: bool) -> Case:
    write_ecg_file(folder / "a", _millivolts())
    if suffix == ".mat":
        signal = folder / "a.dat"
        (folder / "a.mat").write_bytes(bytes(range(24)) + signal.read_bytes())
        header = folder / "a.hea"
        header.write_text(header.read_text().replace(".dat 16 ", ".mat 16+24 "))
    case = _ecg(folder / "a")
    start = 24 if suffix == ".mat" else 0

    def statement(content: bytes) -> tuple[list[int], list[int]]:
        """Initial value and checksum of each of 12 interleaved signals of 16 bits."""
        counts = np.frombuffer(content[start : start + 120_000], dtype="<i2").reshape(-1, 12)
        return counts[0].tolist(), (counts.sum(axis=0, dtype=int) % 65536).tolist()

    return Case(folder / f"a{suffix}", case.read, must_tell, statement)


def _vendor(folder: Path, content: bytes | str, *, must_tell: bool = False) -> Case:
    file = folder / "a.xml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return _ecg(file, must_tell=must_tell)


def _scp(folder: Path) -> Case:
    from tests.helpers.vendor_ecgs import scp

    return _vendor(folder, scp(_heart()), must_tell=True)


def _scp_huffman(folder: Path) -> Case:
    from tests.helpers.vendor_ecgs import scp

    return _vendor(folder, scp(_heart(), differences=2, huffman=True), must_tell=True)


def _aecg(folder: Path) -> Case:
    from tests.helpers.vendor_ecgs import aecg

    return _vendor(folder, aecg(_heart()))


def _philips(folder: Path) -> Case:
    from tests.helpers.vendor_ecgs import philips

    return _vendor(folder, philips(_heart()))


def _philips_xli(folder: Path) -> Case:
    from tests.helpers.vendor_ecgs import philips

    return _vendor(folder, philips(_heart(), compressed=True))


def _muse(folder: Path) -> Case:
    from tests.helpers.vendor_ecgs import muse

    return _vendor(folder, muse(_heart()))


def _dicom_ecg(folder: Path) -> Case:
    from tests.helpers.dicom_files import write_dicom_ecg

    write_dicom_ecg(folder / "a.dcm", _millivolts())
    return _ecg(folder / "a.dcm")


def _arrays(folder: Path, suffix: str) -> Case:
    import h5py

    file = folder / f"a{suffix}"
    many = np.stack([_millivolts() * factor for factor in (0.5, 1.0)]).astype(np.float32)
    stated = {"array_leads": LEADS, "array_rate_hz": 500, "array_unit": "mV"}
    if suffix == ".npy":
        np.save(file, many[1])
        return _ecg(file, **stated)
    if suffix == ".npz":
        np.savez_compressed(file, tracings=many, exam_id=[1, 2])
        return _ecg(file, must_tell=True, array_id="exam", **stated)
    with h5py.File(file, "w") as opened:
        opened.create_dataset("tracings", data=many, compression="gzip", fletcher32=True)
        opened["exam_id"] = [1, 2]
    return _ecg(file, array_id="exam", **stated)


def _chest() -> np.ndarray:
    y, x = np.mgrid[0:80, 0:96]
    noise = np.random.default_rng(6).integers(0, 20, (80, 96))
    return (100 + 60 * np.cos(x / 9) + 40 * np.sin(y / 7) + noise).astype(np.uint8)


def _image(folder: Path, suffix: str, *, must_tell: bool = False, **arguments: Any) -> Case:
    from PIL import Image

    file = folder / f"a{suffix}"
    Image.fromarray(_chest()).save(file, **arguments)
    return _cxr(file, must_tell=must_tell)


def _dicom(folder: Path, syntax: str = "") -> Case:
    import pydicom.uid as uids

    from tests.helpers.dicom_files import compress, write_dicom

    file = folder / "a.dcm"
    if syntax:
        compress(file, _chest(), getattr(uids, syntax))
    else:
        write_dicom(file, _chest(), Modality="DX", ViewPosition="PA")
    return _cxr(file)


_COHORT = """
title = "Small"
description = "Forty admissions."
access = "open"
license = "none"
citation = "none"
{encoding}
[samples]
{samples}
sample = "admission"
subject = "person"
keep = ["ward"]
{tables}
[modalities.labs]
panel = "labs.csv"
[outcomes.died]
column = "died"
positive = ["yes"]
negative = ["no"]
"""
_QUERY = """
SELECT a.*, k.k FROM admissions AS a
LEFT JOIN (SELECT person, arg_min(value, taken) AS k FROM labs GROUP BY person) AS k USING (person)
"""


def _admissions() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "admission": np.arange(1000, 1040),
            "person": np.arange(40) // 2,
            "ward": [CANARY, "Müller"] * 20,
            "admitted": [f"2031-01-{1 + n % 28:02d} 05:00:00" for n in range(40)],
            "died": rng.choice(["yes", "no"], 40),
        }
    )


def _labs() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "person": np.repeat(np.arange(20), 2),
            "taken": [f"2031-01-{1 + n % 28:02d} 06:00:00" for n in range(40)],
            "value": rng.normal(4.2, 0.3, 40).round(2),
        }
    )


def _write_table(table: pd.DataFrame, file: Path, encoding: str) -> None:
    if file.suffix == ".parquet":
        table.to_parquet(file)
        return
    content = table.to_csv(index=False).encode(encoding)
    file.write_bytes(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)


def _table(folder: Path, suffix: str, *, encoding: str = "utf-8", typed: bool = False) -> Case:
    """The admissions of a cohort with a query over two tables."""
    tables = f'[tables]\nadmissions = "admissions{suffix}"\nlabs = "labs.csv"'
    if typed:
        tables += (
            '\n[types.admissions]\nadmission = "BIGINT"\nperson = "BIGINT"\nadmitted = "TIMESTAMP"'
        )
    stated = "" if encoding == "utf-8" else f'[encoding]\nadmissions = "{encoding}"'
    samples = 'sql = "samples.sql"\nsplit = { tuning = 0.2, held_out = 0.3, seed = 0 }'
    text = _COHORT.format(encoding="", samples=samples, tables=f"{tables}\n{stated}")
    file = folder / f"raw/admissions{suffix}"
    file.parent.mkdir()
    _write_table(_admissions(), file, encoding)
    _write_table(_labs(), folder / "raw/labs.csv", "utf-8")
    return Case(file, _selection(folder, text))


def _split_table(folder: Path, suffix: str) -> Case:
    """The train table of a cohort without a query."""
    files = {split: f"{split}{suffix}" for split in ("train", "tuning", "held_out")}
    tables = ", ".join(f'{split} = "{file}"' for split, file in files.items())
    text = _COHORT.format(encoding="", samples=f"tables = {{ {tables} }}", tables="")
    (folder / "raw").mkdir()
    rows = _admissions().assign(k=np.linspace(3.5, 5, 40))
    for part, file in enumerate(files.values()):
        _write_table(
            rows.loc[np.asarray(rows["person"]) % 3 == part], folder / "raw" / file, "utf-8"
        )
    return Case(folder / "raw" / files["train"], _selection(folder, text))


def _selection(folder: Path, text: str) -> Callable[[], tuple[Any, list[str]]]:
    from clinical_symile.config.cohort import modality_adapters, read_cohort
    from clinical_symile.data.ingest.row_file import RowFile
    from clinical_symile.data.ingest.samples import read_samples
    from clinical_symile.data.ingest.tables import value_problems
    from clinical_symile.errors import DataError

    (folder / "cohort.toml").write_text(text)
    (folder / "samples.sql").write_text(_QUERY)
    (folder / "labs.csv").write_text("analyte,loinc,column,unit\nPotassium,2823-3,k,mmol/L\n")

    def read() -> tuple[Any, list[str]]:
        cohort = read_cohort(folder / "cohort.toml", name="small")
        if problems := value_problems(cohort, folder / "raw"):  # as `check --source`
            raise DataError(*problems, code="CS-D031")
        out = folder / "samples.arrow"
        selected = read_samples(
            cohort,
            modality_adapters(cohort),
            source=folder / "raw",
            scratch=folder / "scratch",
            out=out,
        )
        rows = RowFile(out)
        problems = [json_text(problem) for problem in selected.problems]
        return [asdict(selected), rows.part(0, len(rows))], problems

    return read


def json_text(problem: Any) -> str:
    """A problem as text, to compare it."""
    return str(sorted(problem.items()))


def _wizard(folder: Path, encoding: str) -> Case:
    from clinical_symile.data.wizard.propose import propose_cohort

    raw = folder / "raw"
    raw.mkdir()
    labs = _labs().assign(code=["K", "NA"] * 20, unit="mmol/l")
    labs = labs.rename(columns={"person": "PatNr", "taken": "Abnahme", "value": "Wert"})
    columns = {"admission": "FallNr", "person": "PatNr", "ward": "Station", "admitted": "Aufnahme"}
    admissions = _admissions().rename(columns=columns)
    (raw / "faelle.csv").write_bytes(admissions.to_csv(index=False).encode(encoding))
    labs.to_csv(raw / "labor.csv", index=False)

    def read() -> tuple[Any, list[str]]:
        proposal = propose_cohort("klinik", raw)
        return dict(proposal.files), list(proposal.notes)

    return Case(raw / "faelle.csv", read)


def _predictions(folder: Path, suffix: str, encoding: str = "utf-8") -> Case:
    from clinical_symile.data.external.predictions import read_predictions

    table = pd.DataFrame({"sample": range(60), "probability": np.linspace(0.01, 0.99, 60)})
    file = folder / f"model{suffix}"
    _write_table(table.assign(ward=[CANARY, "Müller"] * 30), file, encoding)

    def read() -> tuple[Any, list[str]]:
        found = read_predictions(file)
        return found.table.to_csv(), list(found.notes)

    return Case(file, read)


def _embeddings(folder: Path, suffix: str) -> Case:
    from clinical_symile.data.external.embeddings import read_embeddings

    vectors = np.random.default_rng(10).normal(size=(60, 4))
    table = pd.DataFrame({"sample": range(60), "modality": ["cxr", "ecg"] * 30})
    table = pd.concat([table, pd.DataFrame(vectors, columns=[f"e{n}" for n in range(4)])], axis=1)
    file = folder / f"model{suffix}"
    _write_table(table.assign(ward=[CANARY, "Müller"] * 30), file, "utf-8")

    def read() -> tuple[Any, list[str]]:
        found = read_embeddings(file)
        rows = [*map(str, found.samples), *map(str, found.modalities), *found.z.ravel().tolist()]
        return rows, list(found.notes)

    return Case(file, read)


def _pair_scores(folder: Path, suffix: str) -> Case:
    from clinical_symile.data.external.pair_scores import read_pair_scores

    pairs = [(query, candidate) for query in range(6) for candidate in range(10)]
    table = pd.DataFrame(pairs, columns=["query", "candidate"])
    table["score"] = np.random.default_rng(11).normal(size=60)
    file = folder / f"model{suffix}"
    _write_table(table.assign(ward=[CANARY, "Müller"] * 30), file, "utf-8")

    def read() -> tuple[Any, list[str]]:
        found = read_pair_scores(file)
        return found.table.to_csv(), list(found.notes)

    return Case(file, read)


def _recorded_array(folder: Path) -> Case:
    from clinical_symile.modalities.cxr_array import CxrArray

    rng = np.random.default_rng(9)
    levels = rng.integers(0, 256, (3, 1, _SIZE, _SIZE)).repeat(3, axis=1) / 255
    mean, sd = ((0.5,) * 3, (0.25,) * 3)
    np.save(folder / "cxr.npy", ((levels - 0.5) / 0.25).astype(np.float32))
    np.save(folder / "ids.npy", np.array([1, 2, 3]))

    def read() -> tuple[Any, list[str]]:
        arguments = {"path": "cxr.npy", "ids": "ids.npy", "id": "exam", "mean": mean, "sd": sd}
        adapter = CxrArray(folder, size_px=_SIZE, **arguments)
        return _reader(adapter, folder, {"exam": 2})()

    return Case(folder / "cxr.npy", read)


def _mask_file(folder: Path, kind: str) -> Case:
    """A table of which modalities are visible: one line a sample, or one a pattern of a site."""
    from clinical_symile.data.mask_files import read_mask, read_site_table
    from clinical_symile.errors import CannotScore, DataError
    from clinical_symile.missingness.patterns import parse_pattern

    rng, modalities = np.random.default_rng(12), ("cxr", "ecg", "labs")
    table = pd.DataFrame(rng.integers(0, 2, (60, 3)), columns=list(modalities))
    if kind == "mask":
        table.insert(0, "sample", [f"{CANARY}{n}" for n in range(60)])
    else:
        table["count"] = rng.integers(0, 99, 60)
    file = folder / "own.csv"
    _write_table(table, file, "utf-8")
    pattern = parse_pattern(f"{kind}-own")
    samples = tuple(f"{CANARY}{n}" for n in range(60))

    def read() -> tuple[Any, list[str]]:
        try:
            if kind == "mask":
                found = read_mask(pattern, file, samples=samples, modalities=modalities)
                return found.tolist(), []
            visible, counts = read_site_table(pattern, file, cohort="own", modalities=modalities)
            return [visible.tolist(), counts.tolist()], []
        except CannotScore as verdict:
            raise DataError(str(verdict), code="CS-S013") from None

    return Case(file, read)


CASES: dict[str, Callable[[Path], Case]] = {
    "wfdb-header": lambda folder: _wfdb(folder, ".hea", must_tell=False),
    "wfdb-dat": lambda folder: _wfdb(folder, ".dat", must_tell=True),
    "wfdb-mat": lambda folder: _wfdb(folder, ".mat", must_tell=True),
    "scp": _scp,
    "scp-huffman": _scp_huffman,
    "aecg": _aecg,
    "muse": _muse,
    "philips": _philips,
    "philips-xli": _philips_xli,
    "dicom-ecg": _dicom_ecg,
    "hdf5": lambda folder: _arrays(folder, ".h5"),
    "npy": lambda folder: _arrays(folder, ".npy"),
    "npz": lambda folder: _arrays(folder, ".npz"),
    "recorded-array": _recorded_array,
    "png": lambda folder: _image(folder, ".png", must_tell=True),
    "jpeg": lambda folder: _image(folder, ".jpg", quality=95),
    "tiff": lambda folder: _image(folder, ".tif"),
    "tiff-lzw": lambda folder: _image(folder, ".tif", compression="tiff_lzw"),
    "bmp": lambda folder: _image(folder, ".bmp"),
    "dicom": _dicom,
    "dicom-jpeg-lossless": lambda folder: _dicom(folder, "JPEGLosslessSV1"),
    "dicom-jpeg-ls": lambda folder: _dicom(folder, "JPEGLSLossless"),
    "dicom-jpeg-2000": lambda folder: _dicom(folder, "JPEG2000Lossless"),
    "dicom-rle": lambda folder: _dicom(folder, "RLELossless"),
    "csv": lambda folder: _table(folder, ".csv"),
    "csv-typed": lambda folder: _table(folder, ".csv", typed=True),
    "csv-gz": lambda folder: _table(folder, ".csv.gz"),
    "csv-latin-1": lambda folder: _table(folder, ".csv", encoding="latin-1"),
    "csv-utf-16": lambda folder: _table(folder, ".csv", encoding="utf-16"),
    "parquet": lambda folder: _table(folder, ".parquet"),
    "split-csv": lambda folder: _split_table(folder, ".csv"),
    "split-parquet": lambda folder: _split_table(folder, ".parquet"),
    "wizard": lambda folder: _wizard(folder, "utf-8"),
    "wizard-latin-1": lambda folder: _wizard(folder, "latin-1"),
    "predictions-csv": lambda folder: _predictions(folder, ".csv"),
    "predictions-csv-latin-1": lambda folder: _predictions(folder, ".csv", "latin-1"),
    "predictions-csv-gz": lambda folder: _predictions(folder, ".csv.gz"),
    "predictions-parquet": lambda folder: _predictions(folder, ".parquet"),
    "embeddings-csv": lambda folder: _embeddings(folder, ".csv"),
    "embeddings-parquet": lambda folder: _embeddings(folder, ".parquet"),
    "mask-csv": lambda folder: _mask_file(folder, "mask"),
    "site-csv": lambda folder: _mask_file(folder, "site"),
    "scores-csv": lambda folder: _pair_scores(folder, ".csv"),
    "scores-parquet": lambda folder: _pair_scores(folder, ".parquet"),
    **DEFINITIONS,
}
