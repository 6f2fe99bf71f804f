"""The cohort card tells of many people and of none."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.report_file import benchmark_requirements, read_requirements
from clinical_symile.data.croissant import croissant, write_croissant
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.reporting.cohort_card import (
    analytes,
    examples,
    flow,
    groups,
    outcomes,
    recorded_words,
    render_card,
)


def page(store: CohortStore, catalog: Catalog, folder: Path) -> str:
    out = folder / "card.html"
    render_card(store, report=catalog.path("reports", "cohort_card"), out=out)
    return out.read_text(encoding="utf-8")


def manifest(**changes: Any) -> dict[str, Any]:
    split = {"samples": 100, "subjects": 80}
    return {
        "rows": 431,
        "left_out": {"fewer-than-2-recorded": 120, "no-findings": 11},
        "counts": {"train": split, "tuning": split, "held_out": split},
        "outcomes": {},
        "already_known": {},
        **changes,
    }


def test_the_flow_goes_from_the_rows_to_the_splits() -> None:
    rows, samples, *splits = flow(manifest())
    assert rows.number == "431"
    assert rows.left == [("fewer than 2 recorded", "120"), ("no findings", "11")]
    assert samples.number == "300"
    assert [(step.words, step.number) for step in splits] == [
        ("training", "100"),
        ("tuning", "100"),
        ("held out", "100"),
    ]


def test_a_small_number_that_left_does_not_follow_by_subtraction() -> None:
    rows, samples, *_ = flow(manifest(rows=423, left_out={"a": 120, "b": 3}))
    assert rows.left == [("a", "120"), ("b", "<10")]
    assert (rows.number, samples.number) == ("at least 420", "300")


def test_a_withheld_cell_does_not_follow_from_how_many_were_recorded() -> None:
    """Of 24 X-rays 21 have labs and ECG: the other 3, or the 4 of one split, must not follow."""
    recorded = {"cxr+ecg+labs": 21, "labs": 100, "ecg+labs": 30}
    present = ({"cxr": 21}, {"cxr": 0}, {"cxr": 0})
    counts = {
        split: {"samples": 50, "present": cells}
        for split, cells in zip(("train", "tuning", "held_out"), present, strict=True)
    }
    told = {"modalities": {"cxr": {}}, "recorded": recorded, "counts": counts}
    assert recorded_words(told) == [("chest X-ray", "21")]
    told["recorded"] = {**recorded, "cxr+labs": 3}
    assert recorded_words(told) == [("chest X-ray", "at least 20")]
    told["recorded"] = recorded
    counts["tuning"]["present"] = {"cxr": 4}
    assert recorded_words(told) == [("chest X-ray", "at least 20")]


def test_an_outcome_is_told_among_those_of_whom_it_is_known() -> None:
    labels = [(30, 70, 0), (4, 20, 3), (20, 4, 3)]
    keys = ("positive", "negative", "unknown")
    splits = {
        split: dict(zip(keys, numbers, strict=True))
        for split, numbers in zip(("train", "tuning", "held_out"), labels, strict=True)
    }
    told = outcomes(manifest(outcomes={"icu_48h": splits}, already_known={"icu_48h": 12}))
    assert told.body[0][1:] == [
        "30 of 100 (30\N{NO-BREAK SPACE}%)",
        "<10 of 24",
        "all but <10 of 24",
        "12",
    ]


def test_nested_outcomes_of_real_subjects_tell_no_small_count() -> None:
    keys = ("positive", "negative", "unknown")

    def labels(*numbers: int) -> dict[str, dict[str, int]]:
        one: dict[str, int] = dict(zip(keys, numbers, strict=True))
        return {split: one for split in ("train", "tuning", "held_out")}

    counts = {split: {"samples": 400} for split in ("train", "tuning", "held_out")}
    found = {
        "died": labels(120, 280, 0),
        "died_30d": labels(115, 285, 0),
        "icu": labels(60, 336, 4),
    }
    real = outcomes({"outcomes": found, "already_known": {}, "counts": counts})
    share = "\N{NO-BREAK SPACE}%)"
    # 5 died after 30 days, and for 4 it is unknown if they came to intensive care.
    assert [row[1] for row in real.body] == [
        "at least 120 of at least 400",
        "at least 110 of at least 400",
        "60 of at least 390",
    ]
    about = {"access": "open", "generator": {}}
    made = outcomes({"outcomes": found, "already_known": {}, "counts": counts, **about})
    assert [row[1] for row in made.body] == [
        f"120 of 400 (30{share}",
        f"115 of 400 (29{share}",
        f"60 of 396 (15{share}",
    ]


def test_groups_are_kept_columns_with_few_words(synthetic_store: CohortStore) -> None:
    samples = pd.DataFrame(
        {
            "split": ["train"] * 30 + ["tuning"] * 15 + ["held_out"] * 15,
            "subject": range(60),
            "kept_sex": ["female"] * 20 + ["male"] * 40,
            "kept_path": [str(n) for n in range(60)],
            "kept_number": [1, 2] * 30,
            "kept_race": ["white"] * 12 + [None] * 48,
        }
    )
    sex, race = groups(replace(synthetic_store, samples=samples))
    assert sex.body == [["female", "20", "0", "0"], ["male", "10", "15", "15"]]
    assert race.body == [["white", "12", "0", "0"], ["not recorded", "18", "15", "15"]]


def test_groups_are_subgroups_too_in_the_order_of_their_bands(synthetic_store: CohortStore) -> None:
    samples = pd.DataFrame(
        {
            "split": ["train"] * 60,
            "subject": range(60),
            "kept_sex": ["F"] * 20 + ["M"] * 40,
            "group_age": ["<18"] * 20 + ["65+"] * 20 + ["18-64"] * 20,
            "group_sex": ["female"] * 20 + ["male"] * 40,
        }
    )
    sex, age = groups(replace(synthetic_store, samples=samples))
    assert [line[0] for line in sex.body] == ["female", "male"]
    assert [line[0] for line in age.body] == ["<18", "18-64", "65+"]


def test_a_small_group_hides_the_next_smallest_too(synthetic_store: CohortStore) -> None:
    samples = pd.DataFrame(
        {
            "split": (["train"] * 4 + ["tuning"] * 8) + ["train"] * 26,
            "subject": range(38),
            "kept_sex": ["female"] * 12 + ["male"] * 26,
        }
    )
    (sex,) = groups(replace(synthetic_store, samples=samples))
    assert [line[1] for line in sex.body] == ["<10", "≥10"]


def test_a_label_that_fewer_than_ten_subjects_have_is_not_shown(
    synthetic_store: CohortStore,
) -> None:
    samples = pd.DataFrame(
        {
            "split": ["train"] * 60,
            "subject": ["s1"] * 12 + ["s2"] * 3 + [*map(str, range(45))],
            "kept_ward": ["Mr Smith"] * 12 + ["Mrs Jones"] * 3 + ["A"] * 20 + ["B"] * 25,
            "kept_rare": ["Mr Smith"] * 12 + [None] * 48,
        }
    )
    (ward,) = groups(replace(synthetic_store, samples=samples))
    assert ward.body == [
        ["A", "20", "0", "0"],
        ["B", "25", "0", "0"],
        ["others, each of fewer than 10 subjects", "15", "0", "0"],
    ]


def test_an_analyte_has_its_share_and_quartiles(synthetic_store: CohortStore) -> None:
    found = {one.name: one for one in analytes(synthetic_store)}
    labs = synthetic_store.modalities.index("labs")
    panel = synthetic_store.manifest["modalities"]["labs"]["parts"]
    assert found.keys() == {name.replace("_", " ") for name in panel}
    rows = synthetic_store.rows("train")
    present = synthetic_store.present[rows, labs]
    values = synthetic_store.array("labs")[rows, panel.index("glucose")]
    values = values[present & ~np.isnan(values)]
    words, share, quartiles = found["glucose"].splits[0]
    assert share == pytest.approx(len(values) / len(rows), abs=0.005)
    assert words == f"{100 * len(values) / len(rows):.0f}\N{NO-BREAK SPACE}%"
    assert quartiles.startswith(f"{np.median(values):.3g} (")
    assert found["glucose"].unit == "mg/dL"


def test_the_card_is_one_file_that_loads_nothing(
    synthetic_store: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    text = page(synthetic_store, catalog, tmp_path)
    assert text == page(synthetic_store, catalog, tmp_path)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    for words in ("From the tables to the samples", "What the samples have", "glucose", "Examples"):
        assert words in text
    assert "data:image/png" in text
    assert len(examples(synthetic_store)) == 2


@pytest.mark.parametrize("change", [{"access": "credentialed"}, {"generator": None}])
def test_recordings_of_people_who_are_not_open_and_made_up_are_never_drawn(
    synthetic_store: CohortStore, catalog: Catalog, tmp_path: Path, change: dict[str, Any]
) -> None:
    real = {**synthetic_store.manifest, **change}
    text = page(replace(synthetic_store, manifest=real), catalog, tmp_path)
    assert "data:image" not in text
    assert "Examples" not in text


def test_the_card_names_no_sample_and_no_subject(
    synthetic_store: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    write_croissant(synthetic_store, out=tmp_path / "card.croissant.json")
    for text in (
        page(synthetic_store, catalog, tmp_path),
        (tmp_path / "card.croissant.json").read_text(),
    ):
        for column in ("sample", "subject"):
            assert not any(str(each) in text for each in synthetic_store.samples[column])


def test_croissant_names_every_file_and_column(synthetic_store: CohortStore) -> None:
    told = croissant(synthetic_store)
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    files = {file["@id"]: file for file in told["distribution"]}
    assert files.keys() == synthetic_store.manifest["sizes"].keys()
    assert all(re.fullmatch("[0-9a-f]{64}", file["sha256"]) for file in files.values())
    fields = {field["name"]: field["dataType"] for field in told["recordSet"][0]["field"]}
    assert [*fields] == synthetic_store.samples.columns.tolist()
    assert fields["sample"] == "sc:Integer"
    assert fields["split"] == "sc:Text"
    assert fields["present_cxr"] == "sc:Boolean"
    assert fields["outcome_deterioration"] == "sc:Float"
    assert json.loads(json.dumps(told)) == told


def test_a_card_is_no_report_of_a_benchmark(catalog: Catalog) -> None:
    template = catalog.path("reports", "cohort_card")
    assert read_requirements(template).of == "store"
    with pytest.raises(
        DefinitionError, match="describes a store; expected a report of a benchmark"
    ):
        benchmark_requirements(template)
