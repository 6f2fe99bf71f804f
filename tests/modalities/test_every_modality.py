"""The contract of a modality, over the whole table of names."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.modalities.base import Rejected
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import ENCODERS, MODALITIES


@dataclass(frozen=True)
class Case:
    """An adapter, and rows of a present, an absent and a broken sample."""

    adapter: Any
    folder: Path
    present: dict[str, Any]
    absent: dict[str, Any]
    broken: dict[str, Any] | None


@pytest.fixture(params=sorted(MODALITIES))
def case(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    rng: np.random.Generator,
    write_ecg: Callable[..., None],
    write_image: Callable[..., None],
) -> Case:
    adapter = resolve(request.param, MODALITIES)
    if request.param.endswith("_array"):
        rows = ({"id": 7}, {"id": None}, {"id": 9})
        shape = (2, 1, 32, 32) if request.param == "cxr_array" else (2, 1, 5000, 12)
        values = rng.integers(0, 256, shape) / 255
        if request.param == "ecg_array":
            values = 2 * values - 1
        values[1] = np.nan
        np.save(tmp_path / "values.npy", values.astype(np.float32))
        np.save(tmp_path / "ids.npy", np.array([7, 9]))
        size = {"size_px": 32} if request.param == "cxr_array" else {}
        made = adapter(tmp_path, path="values.npy", ids="ids.npy", id="id", **size)
        return Case(made, tmp_path, *rows)
    if request.param == "embedding":
        vectors = np.stack([rng.normal(size=4), np.full(4, np.nan)])
        np.savez(tmp_path / "vectors.npz", embeddings=vectors, ids=np.array([7, 9]))
        made = adapter(tmp_path, path="vectors.npz", id="id", width=4)
        return Case(made, tmp_path, {"id": 7}, {"id": None}, {"id": 9})
    if request.param == "cxr":
        write_image(tmp_path / "a.png", rng.integers(0, 256, (50, 40), dtype=np.uint8))
        (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:400])
        made = adapter(tmp_path, path="{file}", size_px=32)
        return Case(made, tmp_path, {"file": "a.png"}, {"file": None}, {"file": "b.png"})
    if request.param == "ecg":
        write_ecg(tmp_path / "a", rng.normal(0, 0.3, (5000, 12)))
        (tmp_path / "b.hea").write_text("no header\n")
        made = adapter(tmp_path, path="{file}")
        return Case(made, tmp_path, {"file": "a"}, {"file": ""}, {"file": "b"})
    if request.param == "lab_events":
        made = adapter(tmp_path, column="labs", codes=["LAB//K", "LAB//NA"], events=3)
        present = '[{"hours": 1.5, "code": "LAB//K", "value": 4.1}]'
        return Case(made, tmp_path, {"labs": present}, {"labs": None}, {"labs": "[1"})
    (tmp_path / "labs.csv").write_text(
        "analyte,loinc,column,unit\nCreatinine,2160-0,crea,mg/dL\nPotassium,2823-3,k,mmol/L\n"
    )
    made = adapter(tmp_path, panel="labs.csv")
    return Case(made, tmp_path, {"crea": 1.1, "k": None}, {"crea": float("nan"), "k": None}, None)


def test_a_present_measurement_has_the_shape_and_dtype_that_are_promised(case: Case) -> None:
    measured = case.adapter.read(case.present, case.folder)
    assert measured.shape == case.adapter.shape
    assert measured.dtype == np.dtype(case.adapter.dtype)
    assert len(case.adapter.parts) == case.adapter.shape[0]


def test_reading_twice_gives_the_same(case: Case) -> None:
    first, second = (case.adapter.read(case.present, case.folder) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_an_absent_measurement_is_none(case: Case) -> None:
    assert case.adapter.read(case.absent, case.folder) is None


def test_a_broken_file_is_rejected_with_a_reason(case: Case) -> None:
    if case.broken is None:
        pytest.skip("this modality reads no files")
    with pytest.raises(Rejected) as caught:
        case.adapter.read(case.broken, case.folder)
    assert caught.value.reason
    assert caught.value.detail


def test_only_the_columns_that_are_named_are_read(case: Case) -> None:
    assert set(case.adapter.columns) == set(case.present)
    assert set(case.adapter.numbers) <= set(case.adapter.columns)


def test_inputs_are_finite_float32_one_per_measurement(case: Case) -> None:
    measured = np.stack([case.adapter.read(case.present, case.folder)] * 3)
    inputs = case.adapter.transform(measured, case.adapter.fit([measured]))
    assert inputs.dtype == np.float32
    assert len(inputs) == 3
    assert np.isfinite(inputs).all()


def test_a_modality_that_has_a_divisor_does_nothing_but_divide(case: Case) -> None:
    measured = np.stack([case.adapter.read(case.present, case.folder)] * 2)
    statistics = case.adapter.fit([measured])
    if not hasattr(case.adapter, "divisor"):
        pytest.skip("more than a division is done to this modality")
    divided = torch.from_numpy(measured) / torch.from_numpy(
        np.asarray(case.adapter.divisor(statistics), dtype=np.float32)
    )
    np.testing.assert_array_equal(divided.numpy(), case.adapter.transform(measured, statistics))
    np.testing.assert_array_equal(
        np.divide(measured, case.adapter.divisor(statistics), dtype=np.float32), divided.numpy()
    )


def test_statistics_do_not_depend_on_the_parts_they_are_fitted_on(case: Case) -> None:
    measured = case.adapter.read(case.present, case.folder)[None]
    other = (measured * 2).astype(measured.dtype)
    together = case.adapter.fit([np.concatenate([measured, other])])
    assert case.adapter.fit([measured, other]) == together


def test_no_measurements_have_inputs_of_the_same_shape(case: Case) -> None:
    measured = case.adapter.read(case.present, case.folder)[None]
    statistics = case.adapter.fit([measured])
    shape = case.adapter.transform(measured, statistics).shape
    assert case.adapter.transform(measured[:0], statistics).shape == (0, *shape[1:])


def test_a_split_without_measurements_still_gives_finite_inputs(case: Case) -> None:
    measured = case.adapter.read(case.present, case.folder)[None]
    assert np.isfinite(case.adapter.transform(measured, case.adapter.fit([]))).all()


def test_the_default_encoder_is_one_of_ours(case: Case) -> None:
    assert case.adapter.encoder in ENCODERS
