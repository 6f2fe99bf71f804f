"""Records of stores, runs and benchmarks are parsed by two modules alone, each field checked.

All other modules that parse a file are listed with what they read. A new one is to call
`clinical_symile.tracking.records`, whose errors are sentences, or has a reason to be listed here.
"""

import ast
from collections import defaultdict

import pytest

from tests.helpers.source import MODULES

# What turns the content of a file into objects.
PARSERS = {
    *("json.load", "json.loads", "tomllib.load", "tomllib.loads"),
    *("numpy.load", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromfile", "numpy.memmap"),
    *("pandas.read_csv", "pandas.read_json", "pandas.read_parquet", "pandas.read_feather"),
    *("pandas.read_pickle", "pandas.read_table", "pickle.load", "pickle.loads"),
    *("pyarrow.parquet.ParquetFile", "pyarrow.parquet.read_table", "pyarrow.parquet.read_schema"),
    *("pyarrow.parquet.read_metadata", "pyarrow.parquet.ParquetDataset"),
    *("safetensors.safe_open", "safetensors.torch.load", "safetensors.torch.load_file"),
    *("safetensors.numpy.load", "safetensors.numpy.load_file", "torch.load"),
    *("csv.reader", "csv.DictReader", "yaml.safe_load", "yaml.load"),
}
# The two that read records, and what every other module parses.
RECORDS = {"tracking.records", "data.store_manifest"}
OTHERS = {
    # Definitions, and tables of the package itself.
    "config.catalog": "definitions",
    "config.overrides": "one value of the command line",
    "config.tasks.recipes": "a table of the package",
    "data.wizard.lab_codes": "a table of the package",
    "errors": "a table of the package",
    # Raw data, and files of external models.
    "data.external.tables": "files of external models",
    "data.ingest.csv_files": "raw tables",
    "data.mask_files": "a mask file of the user",
    "data.wizard.profile": "raw tables",
    "modalities._array_io": "recordings",
    "modalities._lab_panel": "the panel of a cohort's definition",
    "modalities.lab_events": "recordings, one cell each",
    "modalities.waveform_files.array_file": "recordings",
    "modalities._vector_table": "recordings",
    "models.encoders.transformers": "the configuration of the user's model",
    "models.encoders.weights": "weights of the user",
    "training._lightning_checkpoint": "the released checkpoint",
    # Arrays and weights: no records; the loader of each says in a sentence what is damaged.
    "data.store": "arrays",
    "evaluation.predictors.bank": "embeddings of training samples",
    "training.checkpoint": "weights",
    "training.feature_cache": "arrays",
    "training.served_model": "weights",
    # What `prepare` writes and reads in one go, each part with a digest, before it is a store.
    "data.ingest.decode": "an unfinished store",
    "data.ingest.journal": "an unfinished store",
    "data.ingest.manifest": "an unfinished store",
    "data.ingest.published_candidates": "an unfinished store",
    "data.ingest.recordings": "an unfinished store",
    "data.ingest.store_writer": "an unfinished store",
    "data.prepare": "an unfinished store",
    # What no record holds.
    "data.ingest.query_lineage": "the answer of DuckDB",
    "tracking._mlflow_files": "a tag of MLflow",
    "tracking._mlflow_tables": "a tag of MLflow",
    "tracking._mlflow_view": "a tag of MLflow",
    "tracking.checksums": "checksums, by which the records are checked",
    "tracking.lock_holder": "the holder of a lock; a damaged one names none",
}


def parsed_in(tree: ast.Module) -> set[str]:
    """Return the parsers that a module calls or names, by their full names."""
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {one.asname or one.name: one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            full |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            text = ast.unparse(node)
            parts = text.split(".")
            for length in range(len(parts), 0, -1):
                prefix = ".".join(parts[:length])
                if prefix in full:
                    found.add(".".join([full[prefix], *parts[length:]]))
                    break
    return found & PARSERS


PARSED = {module: found for module, tree in MODULES.items() if (found := parsed_in(tree))}


def test_records_are_read_by_two_modules_alone():
    unlisted = {module: found for module, found in PARSED.items() if module not in OTHERS}
    assert set(unlisted) <= RECORDS, (
        f"{unlisted}: read records by clinical_symile.tracking.records; a file of another kind "
        "has a line above"
    )


def test_every_listed_module_still_parses_a_file():
    assert {*OTHERS} <= PARSED.keys(), {*OTHERS} - PARSED.keys()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import json\njson.loads(x)", {"json.loads"}),
        ("import json as j\nf = j.loads", {"json.loads"}),
        ("from json import loads as parse\nparse(x)", {"json.loads"}),
        (
            "def f():\n    import pandas as pd\n    return pd.read_parquet(x)",
            {"pandas.read_parquet"},
        ),
        ("import pyarrow.parquet\npyarrow.parquet.read_table(x)", {"pyarrow.parquet.read_table"}),
        ("from pyarrow import parquet as pq\npq.ParquetFile(x)", {"pyarrow.parquet.ParquetFile"}),
        ("import json\njson.dumps(x)", set()),
    ],
)
def test_a_parser_is_found_however_it_is_imported(code: str, expected: set[str]):
    assert parsed_in(ast.parse(code)) == expected


def test_no_module_reads_a_pickle():
    pickles = {"pickle.load", "pickle.loads", "pandas.read_pickle", "yaml.load"}
    by_parser = defaultdict(set)
    for module, found in PARSED.items():
        for parser in found:
            by_parser[parser].add(module)
    assert not pickles & by_parser.keys(), {
        one: by_parser[one] for one in pickles & by_parser.keys()
    }
