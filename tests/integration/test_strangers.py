"""All verbs in a folder of an odd name, with a mark in every place that holds a patient's data."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.cli.parser import VERBS
from clinical_symile.hashing import file_sha256
from tests.helpers.dicom_files import write_dicom
from tests.helpers.synthetic import TINY
from tests.integration.test_own_cohort import write_raw

MARK = "CANARY"
ODD = "a [b]*?'c é"
SET = [word for setting in TINY for word in ("--set", setting)]
TASKS = ("--tasks", "ours/*,classification/in*")
ONE = ("--pretraining", "pretraining/clip", "--baselines", "prevalence", *SET)
# What stays with the data: the store, and three folders of a run.
PRIVATE = ("outcomes", "candidates", "tuning")
RARE = f"{MARK}rare"
TRACED = Path(__file__).resolve().parents[1] / "helpers" / "traced.py"

pytestmark = pytest.mark.slow


@dataclass
class Journey:
    """What the commands left: the folder and the record of each command."""

    root: Path
    commands: list[dict[str, Any]]
    inputs: dict[str, str]

    @property
    def out(self) -> Path:
        return self.root / "out"


def mark_raw(folder: Path) -> None:
    """Put the mark into ids, further columns, names of files, tags and comments."""
    for name in ("admissions", "xrays", "ecgs", "lab_results"):
        table = pd.read_csv(folder / f"{name}.csv", keep_default_na=False)
        table["person"] = f"{MARK}p" + table["person"].astype(str)
        table["remark"] = f"{MARK} remark"
        if name == "admissions":
            table["admission"] = f"{MARK}a" + table["admission"].astype(str)
            table.loc[:2, "sex"] = RARE
        if name == "lab_results":
            extra = table.iloc[:3].assign(code=f"{MARK}code", value=f"{MARK}value")
            table = pd.concat([table, extra])
        if name == "xrays":
            table["file"] = [rename_image(folder, file, n) for n, file in enumerate(table["file"])]
        if name == "ecgs":
            table["file"] = [rename_record(folder, file) for file in table["file"]]
        table.to_csv(folder / f"{name}.csv", index=False)


def rename_image(folder: Path, file: str, number: int) -> str:
    """Give an image a marked name; some become DICOM with marked tags, and some are broken."""
    old, new = folder / file, f"{MARK}images/{MARK}{number}.png"
    (folder / new).parent.mkdir(exist_ok=True)
    if not old.exists():
        return new
    if number % 20 == 1:
        new = new.replace(".png", ".dcm")
        pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
        tags = {"PatientName": MARK, "PatientID": MARK, "StudyDescription": f"{MARK} study"}
        write_dicom(folder / new, pixels, **tags)
    elif number % 20 == 5:  # of a view and time that the cohort selects
        (folder / new).write_bytes(f"{MARK} is no image".encode())
    else:
        old.rename(folder / new)
    return new


def rename_record(folder: Path, file: str) -> str:
    """Give a WFDB record a marked name and comment; the header of some is broken."""
    number = int(Path(file).name)
    new = f"ecg/{MARK}{number}"
    for suffix in (".hea", ".dat"):
        (folder / f"{file}{suffix}").rename(folder / f"{new}{suffix}")
    header = folder / f"{new}.hea"
    text = header.read_text().replace(f"{number}.dat", f"{MARK}{number}.dat")
    text = text.replace(f"{number} ", f"{MARK}{number} ", 1) + f"# {MARK} comment\n"
    if number % 20 == 3:
        text = f"{MARK} {MARK} {MARK}\n" + text
    header.write_text(text)
    return new


def write_strange_files(folder: Path, store: Path) -> None:
    """Write files of external models that are wrong, each with marks where a value belongs.

    They need ids of the store, so this is run as a command after `prepare`.
    """
    samples = pd.read_parquet(store / "samples.parquet")
    held = samples[samples["split"] == "held_out"]
    risk = np.linspace(0.01, 0.99, len(held))
    good = pd.DataFrame(
        {
            "sample": held["sample"],
            "subject_id": held["subject"],
            "probability": risk,
            "label": np.nan_to_num(held["outcome_in_hospital_mortality"]).astype(int),
            "remark": f"{MARK} remark",
        }
    )
    good["outcome"] = "in_hospital_mortality"
    good.to_csv(folder / "good.csv", index=False)
    good.to_csv(folder / "headless.csv", index=False, header=False)
    good.astype({"probability": str}).assign(probability=f"{MARK}x").to_csv(folder / "p.csv")
    good.assign(label=f"{MARK}x").to_csv(folder / "label.csv", index=False)
    good.assign(sample=f"{MARK}x" + good["sample"]).to_csv(folder / "unknown.csv", index=False)
    good.assign(sample=good["sample"].iloc[0]).to_csv(folder / "repeated.csv", index=False)
    good.assign(label=1 - good["label"]).to_csv(folder / "contradicts.csv", index=False)
    good.assign(subject_id=None).to_csv(folder / "no_id.csv", index=False)
    good.assign(outcome="../../escaped").to_csv(folder / "escapes.csv", index=False)
    good.to_csv(folder / "oracle.csv", index=False)
    good.to_csv(folder / "prevalence.csv", index=False)
    good.to_csv(folder / ".csv", index=False)
    (folder / "quotes.csv").write_text(f'sample,probability\n"{MARK}x,0.5\n{MARK}y,0.5\n')
    (folder / "ragged.csv").write_text(f"sample,probability\n{MARK}x,0.5,{MARK},{MARK}\n")
    (folder / "latin.csv").write_bytes(f"sample,probability\n{MARK}\xe9,0.5\n".encode("latin-1"))
    (folder / "binary.parquet").write_bytes(f"PAR1{MARK}".encode())
    (folder / "vectors.csv").write_text(f"sample,modality,z0\n{MARK}x,cxr,{MARK}\n")
    (folder / "unmatched.csv").write_text(f"sample,modality,z0,z1\n{MARK}x,cxr,1,2\n")
    (folder / "scores.csv").write_text(f"query,candidate,score\n{MARK}x,{MARK}y,{MARK}\n")
    (folder / "pairs.csv").write_text(f"query,candidate,score\n{MARK}x,{MARK}y,1\n")


# Verbs that are given a folder that does not exist; `dashboard` would serve one that does for ever.
NOWHERE = ("audit", "export", "verify", "validate", "bundle", "sync", "dashboard")
PREDICTIONS = (
    *("headless", "p", "label", "unknown", "repeated", "contradicts", "no_id", "escapes"),
    *("quotes", "ragged", "latin", "oracle", "prevalence", ""),
)

BROKEN_TABLES = {
    "a value that is no number": ("lab_results.csv", "CREA,", f"CREA,{MARK}"),
    "a time that is none": ("xrays.csv", "2031-01-02", f"{MARK}-01-02"),
    "an admission that is no time": ("admissions.csv", "2031-01-03", f"{MARK}"),
    "an open quote": ("admissions.csv", "female", f'"{MARK}'),
    "a row of many cells": ("admissions.csv", "male", f"male,{MARK},{MARK},{MARK}"),
    "a file without a header": ("admissions.csv", "admission,person,sex,", ""),
    "another encoding": ("admissions.csv", "male", f"{MARK}\xe9"),
    "a subject twice": ("admissions.csv", f"{MARK}a1003", f"{MARK}a1004"),
}


def broken_sources(raw: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write a source for each broken table; recordings are links to the first."""
    for number, (what, (file, old, new)) in enumerate(BROKEN_TABLES.items()):
        source = folder / f"broken{number}"
        shutil.copytree(raw, source)
        text = (source / file).read_text()
        assert old in text, what
        if not new:
            text = text.split("\n", 1)[1]
        (source / file).write_bytes(text.replace(old, new).encode("latin-1"))
        yield what, source


@pytest.fixture(scope="module")
def journey(
    tmp_path_factory: pytest.TempPathFactory,
) -> Journey:
    from tests.helpers.recordings import write_ecg_file, write_image_file

    root = tmp_path_factory.mktemp("journey") / ODD
    decoys = [root.parent / name for name in ("a bx'c é", "a [b]*")]
    tracking = root.parent / "tracking"
    tracking.mkdir()
    raw, given, out = root / "in" / "raw", root / "in" / "given", root / "out"
    for folder in (raw, given, out, root / "cwd", root / "home", root / "tmp"):
        folder.mkdir(parents=True)
    write_raw(raw, 130, write_ecg_file, write_image_file)
    mark_raw(raw)
    broken = dict(broken_sources(raw, root / "in"))
    catalog, store, runs, bench = (out / name for name in ("d", "store", "runs", "bench"))
    own = ("--catalog", catalog)
    source = ("--source", raw)
    paths = (str(TRACED.parents[2]), str(out / "given"), str(store))
    script = (
        f"import sys; from pathlib import Path; sys.path.insert(0, {paths[0]!r});"
        "from tests.integration.test_strangers import write_strange_files as w;"
        f"w(Path({paths[1]!r}), Path({paths[2]!r}))"
    )
    (out / "given").mkdir()
    evaluate = ("evaluate", "--store", store, "--out", bench)
    plan: list[tuple[object, ...]] = [
        ("list", "tasks"),
        ("show", "task", "pretraining/symile"),
        ("schema", "cohort"),
        ("explain", "CS-D032"),
        ("completion", "bash"),
        ("init", "cohort", "ours", "--at", catalog),
        (*own, "check"),
        (*own, "check", "--cohort", "ours", *source),
        (*own, "prepare", "ours", *source, "--dry-run"),
        (*own, "prepare", "ours", *source, "--out", store),
        (*own, "prepare", "ours", *source, "--out", store),
        ("doctor", "--store", store),
        ("audit", store),
        ("card", store, "--out", out / "card.html"),
        (*own, "train", "pretraining/clip", "--store", store, "--out", runs, *SET),
        (*own, "train", "pretraining/clip", "--store", store, "--out", runs, "--seed", 1, *SET),
        *((*own, "evaluate", runs / f"clip-{s}", "--store", store, *TASKS) for s in (0, 1)),
        (*own, "compare", runs / "clip-0", runs / "clip-1", "--store", store),
        ("sample-size", runs, "--difference", 0.05, "--margin", 0.05),
        (*own, "benchmark", "benchmark", "--cohort", "ours", *source, "--out", bench, *TASKS, *ONE),
        (
            *(*own, "sweep", "benchmark", "--cohort", "ours", *source, "--out", out / "sweep"),
            *(*TASKS, *ONE, "--space", "dim=[8, 16]", "--trials", 1),
        ),
        (*own, "report", "benchmark", "--out", bench),
        ("sync", runs, bench),
        *(("verify", folder) for folder in (store, runs / "clip-0", bench)),
        ("validate", bench),
        (*own, "bundle", bench, "--to", out / "bench.zip"),
        (*own, "verify", out / "bench.zip"),
        ("leaderboard", out / "bench.zip", "--out", out / "leaders"),
        (*own, "card", runs / "clip-0", "--out", out / "model.html"),
        (*own, "card", bench, "--out", out / "cards"),
        *(
            (*own, "checklist", each, "--out", out / f"lists-{each.name}")
            for each in (bench, runs / "clip-0")
        ),
        *((*own, "rerun", folder, "--line", 1) for folder in (runs / "clip-0", bench)),
        *(
            (*own, "export", bench, "--format", form, "--to", out / f"as-{form}")
            for form in ("csv", "latex", "png", "svg", "pdf")
        ),
        (*own, "export", runs / "clip-0", "--format", "svg", "--to", out / "as-run"),
        ("@script", script),
        (*own, *evaluate, "--predictions", out / "given" / "good.csv", *TASKS),
        *((*own, *evaluate, "--predictions", out / "given" / f"{n}.csv") for n in PREDICTIONS),
        (*own, *evaluate, "--predictions", out / "given" / "binary.parquet"),
        *(
            (*own, *evaluate, "--embeddings", out / "given" / f"{n}.csv", "--objective", "clip")
            for n in ("vectors", "unmatched", "headless")
        ),
        *((*own, *evaluate, "--scores", out / "given" / f"{n}.csv") for n in ("scores", "pairs")),
        ("import-checkpoint", out / "given" / "latin.csv", "--store", store, "--out", runs),
        ("interpolate", runs / "clip-0", runs / "clip-0", "--store", store, "--out", runs),
        *(
            (*own, verb, "ours", "--source", each, "--out", out / f"{verb}-{n}")
            for verb in ("prepare",)
            for n, each in enumerate(broken.values())
        ),
        *((*own, "check", "--cohort", "ours", "--source", each) for each in broken.values()),
        ("init", "cohort", "theirs", "--at", out / "t", "--from", raw),
        *((verb, root / "in" / "nowhere") for verb in NOWHERE),
        ("sample-size", root / "in" / "nowhere", "--margin", 0.05),
        *((*own, "rerun", runs / "clip-0", "--line", line) for line in (0, 9999)),
    ]
    listing, record = root.parent / "plan.json", root.parent / "record.json"
    listing.write_text(json.dumps([[str(word) for word in words] for words in plan]))
    inputs = digests(root / "in")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "XDG", "MPL"))},
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(TRACED.parents[2]),
        # MLflow itself cannot have a database in a folder with `?` in its name.
        "MLFLOW_TRACKING_URI": f"sqlite:///{tracking}/mlflow.db",
    }
    subprocess.run(
        [sys.executable, TRACED, listing, record], cwd=root / "cwd", env=environment, check=True
    )
    assert not [decoy for decoy in decoys if decoy.exists()]
    return Journey(root, json.loads(record.read_text(encoding="utf-8")), inputs)


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_sha256(p) for p in folder.rglob("*") if p.is_file()}


def verb_of(words: list[str]) -> str:
    return next((word for word in words if word in VERBS), words[0])


def test_every_verb_is_run(journey: Journey) -> None:
    done = {verb_of(command["words"]) for command in journey.commands}
    assert done >= set(VERBS)


def test_no_command_ends_in_a_traceback(journey: Journey) -> None:
    bad = [c for c in journey.commands if c["status"] == 99 or "Traceback" in c["output"]]
    assert [(c["words"][-6:], c["output"][-1500:]) for c in bad] == []


def test_the_right_commands_succeed_and_the_wrong_ones_do_not(journey: Journey) -> None:
    begin = next(n for n, c in enumerate(journey.commands) if c["words"][0] == "@script")
    right, wrong = journey.commands[: begin + 2], journey.commands[begin + 2 :]
    # `check` reads as little as possible, and `init --from` proposes what it can.
    wrong = [c for c in wrong if verb_of(c["words"]) not in ("init", "check")]
    # `audit` says by its status that it found something.
    right = [c for c in right if verb_of(c["words"]) != "audit"]
    failed = [(c["words"], c["output"][-800:]) for c in right if c["status"]]
    assert failed == []
    taken = [c["words"][-6:] for c in wrong if not c["status"]]
    assert taken == []


def test_the_journey_reaches_its_results_and_mlflow(journey: Journey) -> None:
    for path in ("store/manifest.json", "runs/clip-0/results.jsonl", "bench/report.html"):
        assert (journey.out / path).is_file()
    for command in journey.commands:
        assert "could not be synced" not in command["output"]
    assert (journey.root.parent / "tracking" / "mlflow.db").stat().st_size > 0
    assert (journey.out / "bench" / "runs" / "good" / "results.jsonl").is_file()


def test_nothing_is_written_outside_out(journey: Journey) -> None:
    root = journey.root
    tracking = root.parent / "tracking"
    allowed = (
        root / "out",
        root / "tmp",
        tracking,
        root / "home" / ".cache",
        root / "home" / ".config",
    )
    outside = {
        (verb_of(command["words"]), path)
        for command in journey.commands
        for path in command["written"]
        if not any(Path(path).is_relative_to(folder) for folder in allowed)
        and not path.startswith(("/dev/", "/proc/"))
    }
    assert outside == set()
    assert digests(root / "in") == journey.inputs
    assert list((root / "cwd").iterdir()) == []
    home = {p.name for p in (root / "home").iterdir()}
    assert home <= {".cache", ".config"}
    assert not [
        path for path in root.parent.iterdir() if path.name.startswith("a ") and path != root
    ]
    written = sum(len(command["written"]) for command in journey.commands)
    print(f"\n{len(journey.commands)} commands, {written} writes by Python, {len(outside)} outside")


def is_private(path: Path, out: Path) -> bool:
    """Return whether a file stays with the data: a store, a run's private folder, or given."""
    parts = path.relative_to(out).parts
    stores = parts[0] in ("given",) or any(part.startswith("store") for part in parts[:2])
    return stores or any(part in PRIVATE for part in parts)


def test_no_mark_of_a_patient_is_anywhere_it_should_not_be(journey: Journey) -> None:
    mark = MARK.encode()
    files = [p for p in journey.out.rglob("*") if p.is_file() and not is_private(p, journey.out)]
    files += [p for p in (journey.root / "tmp").rglob("*") if p.is_file()]
    files += [p for p in (journey.root / "home").rglob("*") if p.is_file()]
    files += [p for p in (journey.root.parent / "tracking").rglob("*") if p.is_file()]
    # SECURITY.md: a catalog that `init --from` proposes has the codes of all labs.
    code = f"{MARK}code".encode()
    hits = [str(p) for p in files if mark in p.read_bytes().replace(code, b"")]
    hits += [str(p) for p in files if code in p.read_bytes() and "t" not in p.parts]
    named = [
        str(p) for p in journey.out.rglob("*") if MARK in p.name and not is_private(p, journey.out)
    ]
    shown = {}
    for command in journey.commands:
        lines = [line for line in command["output"].splitlines() if MARK in line]
        if lines:
            shown[" ".join(command["words"])[-120:]] = lines[:3]
    print(f"\n{len(journey.commands)} commands, {len(files)} files: hits {len(hits)}, {len(shown)}")
    assert (hits, named) == ([], [])
    expected = {
        # SECURITY.md: messages about contradicting tables name ids.
        "prepare": "samples have several rows that differ",
    }
    unwanted = {
        words: lines
        for words, lines in shown.items()
        if not any(text in " ".join(lines) for text in expected.values())
    }
    assert unwanted == {}


def test_the_mark_is_in_the_store(journey: Journey) -> None:
    samples = pd.read_parquet(journey.out / "store" / "samples.parquet")
    assert all(str(sample).startswith(MARK) for sample in samples["sample"])
    assert RARE in set(samples["kept_sex"])
    rejected = json.loads((journey.out / "store" / "manifest.json").read_text())["rejected"]
    assert sum(rejected["cxr"].values()) > 0 < sum(rejected["ecg"].values())


def test_reserved_and_impossible_names_are_refused(journey: Journey) -> None:
    wanted: dict[str, Callable[[str], bool]] = {
        "oracle.csv": lambda text: "is the name of the oracle or of a baseline" in text,
        "prevalence.csv": lambda text: "is the name of the oracle or of a baseline" in text,
        "given/.csv": lambda text: "cannot be a name: it is empty" in text,
        "escapes.csv": lambda text: "outcome '../../escaped' cannot be a name" in text,
    }
    for name, check in wanted.items():
        (found,) = [c for c in journey.commands if str(c["words"][-1]).endswith(name)]
        assert check(found["output"].replace("\n", " ")), found["output"]
