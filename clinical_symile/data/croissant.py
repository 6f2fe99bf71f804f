"""Describe a store in Croissant, a JSON-LD vocabulary of data sets.

Source: Akhtar et al., "Croissant: A Metadata Format for ML-Ready Datasets", 2024, version 1.0,
https://docs.mlcommons.org/croissant/docs/croissant-spec.html. The description
names files, columns and their types; it contains no row of a patient.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from clinical_symile.data.store import CohortStore
from clinical_symile.files import write_text

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TABLE = "samples.parquet"
FORMATS = {".parquet": "application/x-parquet", ".npy": "application/x-npy"}
MEANINGS = {
    "sample": "identifier of the sample",
    "subject": "identifier of the subject; each subject is in one split",
    "split": "train, tuning or held_out",
    "present_": "True if the store has a measurement of",
    "outcome_": "1 if positive, 0 if negative, NaN if unknown: the outcome",
    "kept_": "further column of the source:",
}


def write_croissant(store: CohortStore, *, out: Path) -> None:
    """Write a store's description.

    Args:
        store: the prepared cohort.
        out: the JSON file.
    """
    write_text(out, json.dumps(croissant(store), indent=1, ensure_ascii=False) + "\n")


def croissant(store: CohortStore) -> dict[str, Any]:
    """Return the description as JSON-LD."""
    manifest = store.manifest
    sums = {f"{name}.npy": about["sha256"] for name, about in manifest["modalities"].items()}
    sums |= manifest["checksums"]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": store.cohort.replace("/", "-"),
        "description": manifest["description"],
        "license": manifest["license"],
        "citeAs": manifest["citation"],
        "version": manifest["versions"]["clinical-symile"],
        "isAccessibleForFree": manifest["access"] == "open",
        "conditionsOfAccess": manifest["access"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{size} B",
                "encodingFormat": FORMATS[Path(name).suffix],
                "sha256": sums[name],
            }
            for name, size in manifest["sizes"].items()
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "description": "One row per sample; its position is its index in every array.",
                "key": {"@id": "samples/sample"},
                "field": [_field(field) for field in pa.Schema.from_pandas(store.samples)],
            }
        ],
    }


def _field(field: pa.Field) -> dict[str, Any]:
    start = next((s for s in MEANINGS if field.name.startswith(s)), "")
    rest = field.name.removeprefix(start) if start.endswith("_") else ""
    return {
        "@type": "cr:Field",
        "@id": f"samples/{field.name}",
        "name": field.name,
        "description": f"{MEANINGS[start]} {rest}".strip() if start else field.name,
        "dataType": _data_type(field.type),
        "source": {"fileObject": {"@id": TABLE}, "extract": {"column": field.name}},
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
