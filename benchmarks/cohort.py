"""How long it takes to choose a cohort from tables of MIMIC's shape, and in how much memory.

Run with `.venv/bin/python benchmarks/cohort.py --out FOLDER`; it writes made-up tables there,
unless they are there already, runs the selection of `mimic_iv` in a process of its own, and writes
`benchmarks/results/cohort.md`. Without `--sizes small` it also does so at the size of MIMIC-IV 2.2:
118 million lab rows, 4 GB of disk, 10 minutes.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.cohort import modality_adapters, read_cohort
from clinical_symile.data.ingest.samples import read_samples
from clinical_symile.data.ingest.worker_pool import available_cores
from clinical_symile.modalities.labs import read_panel

SMALL = {"subjects": 5_000, "admissions": 8_000, "labs": 2_450_000, "ecgs": 12_688, "xrays": 5_000}
WHOLE = {
    "subjects": 299_712,
    "admissions": 431_231,
    "labs": 118_171_367,
    "ecgs": 800_035,
    "xrays": 377_110,
}
SIZES = {"small": SMALL, "whole": WHOLE}
RESULTS = Path(__file__).parent / "results"
SPREAD_DAYS = 2500  # of measurements outside an admission
FINDINGS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)

# `n` counts from 0; of subject n there is admission n, and of the first ones another, later.
TABLES = {
    "mimiciv/hosp/patients.csv.gz": """
        SELECT 10000000 + n AS subject_id, if(n % 2 = 0, 'F', 'M') AS gender,
            20 + n % 72 AS anchor_age, 2120 + n % 70 AS anchor_year,
            ['2008 - 2010', '2011 - 2013', '2014 - 2016', '2017 - 2019'][1 + n % 4]
                AS anchor_year_group, NULL AS dod
        FROM range({subjects}) AS t(n)
    """,
    "mimiciv/hosp/admissions.csv.gz": """
        SELECT subject_id, 20000000 + n AS hadm_id, admittime,
            admittime + INTERVAL 1 HOUR * (20 + n % 400) AS dischtime, NULL AS deathtime,
            'EW EMER.' AS admission_type, 'P0001' AS admit_provider_id,
            'EMERGENCY ROOM' AS admission_location, 'HOME' AS discharge_location,
            'Medicare' AS insurance, 'ENGLISH' AS language, 'MARRIED' AS marital_status,
            'WHITE' AS race, NULL AS edregtime,
            NULL AS edouttime, (n % 50 = 0)::INTEGER AS hospital_expire_flag
        FROM stay ORDER BY subject_id, n
    """,
    "mimiciv/icu/icustays.csv.gz": """
        SELECT subject_id, 20000000 + n AS hadm_id, 30000000 + n AS stay_id,
            'MICU' AS first_careunit, 'MICU' AS last_careunit,
            admittime + INTERVAL 1 HOUR * (n % 90) AS intime,
            admittime + INTERVAL 150 HOUR AS outtime, 2.5 AS los
        FROM stay WHERE n % 6 = 0
    """,
    "mimic-iv-ecg/record_list.csv": """
        SELECT subject_id, 40000000 + n AS study_id, 40000000 + n AS file_name, moment AS ecg_time,
            format(
                'files/p{{}}/p{{}}/s{{}}/{{}}', subject_id // 10000, subject_id, study_id, study_id
            ) AS path
        FROM ({ecg})
    """,
    "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz": """
        SELECT md5(n::VARCHAR) AS dicom_id, subject_id, 50000000 + n AS study_id,
            'CHEST (PORTABLE AP)' AS PerformedProcedureStepDescription,
            ['AP', 'PA', 'LATERAL'][1 + n % 3] AS ViewPosition, 3056 AS Rows, 2544 AS Columns,
            strftime(moment, '%Y%m%d') AS StudyDate, strftime(moment, '%H%M%S')::DOUBLE AS StudyTime
        FROM ({xray})
    """,
    "mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert.csv.gz": """
        SELECT subject_id, 50000000 + n AS study_id, {findings} FROM ({xray})
    """,
    "mimiciv/hosp/labevents.csv.gz": """
        SELECT n AS labevent_id, subject_id, NULL AS hadm_id, 60000000 + n // 20 AS specimen_id,
            if(draw(n, 4, 100) < 65, {items}[1 + draw(n, 5, 50)], 53000 + draw(n, 5, 900))
                AS itemid,
            'P00XYZ' AS order_provider_id, moment AS charttime,
            moment + INTERVAL 47 MINUTE AS storetime,
            round((draw(n, 6, 20000)) / 100, 1) AS value,
            if(draw(n, 7, 100) < 12, NULL, value) AS valuenum, 'mg/dL' AS valueuom,
            0.4 AS ref_range_lower, 1.1 AS ref_range_upper,
            if(draw(n, 8, 3) = 0, 'abnormal', NULL) AS flag,
            'ROUTINE' AS priority, NULL AS comments
        FROM ({lab})
    """,
}
DRAW = "CREATE TEMP MACRO draw(n, k, below) AS (hash(n, k) % below)::BIGINT"
STAYS = """
    SELECT n, 10000000 + n % {subjects} AS subject_id,
        TIMESTAMP '2120-01-01' + to_seconds(draw(n, 1, 2000000000)) AS admittime
    FROM range({admissions}) AS t(n)
"""
# Measurements follow the order of subjects; a share lies in the window of the first admission.
MEASURED = """
    SELECT m.n, 10000000 + m.subject AS subject_id, s.admittime + to_seconds(CASE
        WHEN draw(m.n, 2, 100) < {inside} THEN {first} + draw(m.n, 3, {width})
        ELSE (draw(m.n, 3, {spread}) - {spread} // 2) END) AS moment
    FROM (SELECT n, n * {subjects} // {rows} AS subject FROM range({rows}) AS t(n)) AS m
    JOIN stay AS s ON s.n = m.subject
"""
HOUR, DAY = 3600, 86400


def write_tables(folder: Path, sizes: dict[str, int]) -> None:
    """Write tables of these sizes, the labs in the order of subjects, as in MIMIC."""
    measured = {
        "lab": {"rows": sizes["labs"], "inside": 25, "first": -DAY, "width": 2 * DAY},
        "ecg": {"rows": sizes["ecgs"], "inside": 40, "first": -DAY, "width": 2 * DAY},
        "xray": {"rows": sizes["xrays"], "inside": 25, "first": DAY, "width": 2 * DAY},
    }
    panel = read_panel(
        open_catalog().path("cohorts", "mimic_iv/official").parent / "labs_official.csv"
    )
    texts = {
        name: MEASURED.format(**sizes, **what, spread=SPREAD_DAYS * DAY)
        for name, what in measured.items()
    } | {
        "items": [int(analyte.column.removeprefix("lab_")) for analyte in panel],
        "findings": ", ".join(
            f'[NULL, 1.0, 0.0, -1.0][1 + draw(n, {k}, 4)] AS "{name}"'
            for k, name in enumerate(FINDINGS.split(","))
        ),
    }
    with duckdb.connect(
        config={"memory_limit": "3GB", "temp_directory": str(folder)}
    ) as connection:
        connection.execute(DRAW)
        connection.execute(f"CREATE TEMP TABLE stay AS {STAYS.format(**sizes)}")
        for name, query in TABLES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write(connection, query.format(**sizes, **texts), folder / name)


def _write(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    """Write a query's rows as CSV, compressed by gzip, which is quicker at it than DuckDB."""
    if file.suffix != ".gz":
        connection.execute(f"COPY ({query}) TO '{file}' (HEADER, FORMAT csv)")
        return
    pipe = file.with_suffix(".pipe")
    os.mkfifo(pipe)
    with file.open("wb") as out:
        # The shell opens the pipe, as gzip itself would refuse it.
        compressing = subprocess.Popen(["sh", "-c", 'gzip -1 < "$0"', str(pipe)], stdout=out)
        connection.execute(f"COPY ({query}) TO '{pipe}' (HEADER, FORMAT csv, USE_TMP_FILE false)")
        compressing.wait()
    pipe.unlink()


def measure(preset: str, source: Path) -> dict[str, float]:
    """Return seconds, the peak memory of this process, and the selection."""
    name = f"mimic_iv/{preset}"
    cohort = read_cohort(open_catalog().path("cohorts", name), name=name)
    start, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=source) as scratch:
        selected = read_samples(
            cohort,
            modality_adapters(cohort),
            source=source,
            scratch=Path(scratch),
            out=Path(scratch) / "samples.arrow",
        )
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - spent,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "admissions": selected.rows,
        "samples": selected.samples,
    }


def page(rows: list[tuple[str, int, dict[str, float]]]) -> str:
    """The results as Markdown."""
    table = [
        "| preset | lab rows | admissions | chosen | s | CPU s | peak memory, GB |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *(
            f"| `{preset}` | {labs:,} | {found['admissions']:,} | {found['samples']:,} | "
            f"{found['seconds']:.1f} | {found['cpu_seconds']:.1f} | {found['gigabytes']:.1f} |"
            for preset, labs, found in rows
        ),
    ]
    about = f"On {available_cores()} cores ({platform.machine()}), DuckDB {duckdb.__version__}."
    return "\n".join([*table, "", about, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--sizes", default="small,whole")
    parser.add_argument("--presets", default="official,all")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the table")
    parser.add_argument("--measure", help="measure one preset here, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.out)))
        return
    rows = []
    for name in options.sizes.split(","):
        folder, sizes = options.out / name, SIZES[name]
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            start = time.perf_counter()
            write_tables(partial, sizes)
            partial.rename(folder)
            print(f"tables written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        for preset in options.presets.split(","):
            command = [sys.executable, __file__, "--out", str(folder), "--measure", preset]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append((preset, sizes["labs"], json.loads(done.stdout)))
    (options.results / "cohort.md").write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
