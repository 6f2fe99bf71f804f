"""A store's description names its files and columns, and no row of a patient."""

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as parquet

from clinical_symile.data.croissant import CONFORMS_TO, croissant, write_croissant
from clinical_symile.data.store import CohortStore


def test_every_file_is_listed_with_its_size_and_digest(synthetic_store: CohortStore):
    listed = {one["name"]: one for one in croissant(synthetic_store)["distribution"]}
    arrays = {f"{name}.npy" for name in synthetic_store.modalities}
    assert {"samples.parquet", *arrays} <= set(listed)
    for name, one in listed.items():
        content = (synthetic_store.path / name).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"


def test_every_column_is_a_field_with_its_type_and_a_meaning(synthetic_store: CohortStore):
    (records,) = croissant(synthetic_store)["recordSet"]
    fields = {field["name"]: field for field in records["field"]}
    assert list(fields) == parquet.read_schema(synthetic_store.path / "samples.parquet").names
    assert fields["split"]["dataType"] == "sc:Text"
    assert fields["outcome_deterioration"]["dataType"] == "sc:Float"
    assert fields["outcome_deterioration"]["description"].endswith("deterioration")
    for name, field in fields.items():
        assert field["source"]["extract"] == {"column": name}
        assert field["description"]
    assert records["key"] == {"@id": "samples/sample"}


def test_the_file_is_json_in_the_stated_version_without_any_sample(
    synthetic_store: CohortStore, tmp_path: Path
):
    out = tmp_path / "cards" / "croissant.json"
    write_croissant(synthetic_store, out=out)
    made = json.loads(out.read_text(encoding="utf-8"))
    assert made["conformsTo"] == CONFORMS_TO
    assert made["license"] == synthetic_store.manifest["license"]

    def texts(value):
        if isinstance(value, dict):
            return [text for one in value.values() for text in texts(one)]
        if isinstance(value, list):
            return [text for one in value for text in texts(one)]
        return [str(value)]

    ids = {str(sample) for sample in synthetic_store.samples["sample"]}
    assert not ids & set(texts(made))
