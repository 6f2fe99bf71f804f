"""Features of frozen encoders: computed once per store, and the same training with and without."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.withheld import WithheldBlocks
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.files import FolderBusyError, FolderHeldByParentError, lock_folder
from clinical_symile.formatting import format_duration
from clinical_symile.models.adapters.base import FrozenEncoder
from clinical_symile.models.multimodal import build_model
from clinical_symile.tracking.checksums import changed_files
from clinical_symile.tracking.run import Run
from clinical_symile.training import feature_cache
from clinical_symile.training.feature_cache import (
    features_digest,
    features_folder,
    reasons_to_encode,
    with_features,
)
from clinical_symile.training.learner import build_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import TINY, tiny
from tests.integration.test_pretrained_encoders import retrieval, with_encoder

COMPUTING, KEPT, READ = "computing features", "are kept in", "were kept before"


@pytest.fixture
def store(synthetic_store: CohortStore, tmp_path: Path) -> CohortStore:
    """A copy, beside which nothing was kept."""
    shutil.copytree(synthetic_store.path, tmp_path / "store")
    return open_store(tmp_path / "store")


@pytest.fixture
def frozen(catalog: Catalog) -> Pretraining:
    """A frozen random X-ray encoder: that it is not pretrained changes nothing here."""
    return tiny(catalog, "pretraining/symile", "encoders.cxr.frozen=true")


Lines = Callable[[], list[str]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What was said of features since the last call."""
    return lambda: [line for line in capsys.readouterr().err.splitlines() if "features" in line]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.weights)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_weights_are_the_same_with_features_as_without_and_the_second_run_reads_them(
    frozen: Pretraining,
    catalog: Catalog,
    store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    few_resamples_everywhere: None,
):
    first = train(frozen, store=store, run=Run(tmp_path / "first"), seed=0)
    said = lines()
    assert [word in line for word, line in zip((COMPUTING, KEPT), said, strict=True)] == [True] * 2
    second = train(frozen, store=store, run=Run(tmp_path / "second"), seed=0)
    (line,) = lines()
    assert READ in line
    assert equal(weights(first), weights(second))
    evaluate_run(second, [retrieval(catalog)], store=store)
    assert [READ in line for line in lines()] == [True]
    with monkeypatch.context() as without:
        reason = {"cxr": "the test says so"}
        without.setattr("clinical_symile.training.steps.reasons_to_encode", lambda *_: reason)
        third = train(frozen, store=store, run=Run(tmp_path / "third"), seed=0)
    assert ["the test says so" in line for line in lines()] == [True]
    assert equal(weights(first), weights(third))
    assert changed_files(store.path, everything=True) == []  # the store is as it was


@pytest.mark.parametrize("name", ["timm", "transformers", "onnx"])
def test_pretrained_encoders_hit_in_the_second_run_and_in_the_evaluation(
    name: str,
    catalog: Catalog,
    store: CohortStore,
    tmp_path: Path,
    lines: Lines,
    few_resamples_everywhere: None,
):
    task = with_encoder(catalog, name, tmp_path, frozen=True)
    first = train(task, store=store, run=Run(tmp_path / "first"), seed=0)
    assert COMPUTING in lines()[0]
    second = train(task, store=store, run=Run(tmp_path / "second"), seed=1)
    assert [READ in line for line in lines()] == [True]
    assert not equal(weights(first), weights(second))
    evaluate_run(second, [retrieval(catalog)], store=store)
    assert [READ in line for line in lines()] == [True]


def test_half_a_file_and_a_changed_one_are_computed_again(
    frozen: Pretraining, store: CohortStore, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    model = build_model(frozen, store, seed=0)
    expected = np.array(with_features(store, model).array("cxr"))
    (file,) = features_folder(store).glob("*.safetensors")
    lines()
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1] + b"\x7f"):
        file.write_bytes(damaged)
        assert np.array_equal(with_features(store, model).array("cxr"), expected)
        said = lines()
        assert "was changed since it was written" in said[0]
        assert COMPUTING in said[1]
        assert file.read_bytes() == content
    file.unlink()

    def die(tensors: dict[str, np.ndarray], partial: Path) -> None:
        partial.write_bytes(content[:50])
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(feature_cache, "save_file", die)
        with pytest.raises(KeyboardInterrupt):
            with_features(store, model)
    assert not file.exists()
    lines()
    assert np.array_equal(with_features(store, model).array("cxr"), expected)
    assert COMPUTING in lines()[0]
    # A file that nothing of ours wrote is none, however whole it looks.
    shutil.copy(file, file.with_name("copy.safetensors"))
    (features_folder(store) / "checksums.jsonl").unlink()
    with_features(store, model)
    assert COMPUTING in lines()[0]


def test_the_digest_changes_with_all_that_features_depend_on_and_with_nothing_else(
    frozen: Pretraining, catalog: Catalog, store: CohortStore, monkeypatch: pytest.MonkeyPatch
):
    def digest(task: Pretraining, of: CohortStore = store, seed: int = 0) -> str:
        encoder = build_model(task, of, seed=seed).encoders["cxr"]
        assert isinstance(encoder, FrozenEncoder)
        return features_digest(of, "cxr", encoder)

    first = digest(frozen)
    assert digest(frozen) == first
    assert digest(frozen.model_copy(update={"norm": "layer_norm"})) == first
    wider = tiny(catalog, "pretraining/symile", "encoders.cxr.frozen=true", "encoders.ecg.width=8")
    assert digest(frozen, seed=1) != first  # other weights
    with torch.random.fork_rng(devices=[]):
        assert digest(wider) == first  # another encoder than that of X-rays
    changed = json.loads(json.dumps(store.manifest))
    changed["modalities"]["cxr"]["sha256"] = "0" * 64
    assert digest(frozen, CohortStore(**{**vars(store), "manifest": changed})) != first
    changed = json.loads(json.dumps(store.manifest))
    changed["modalities"]["ecg"]["sha256"] = "0" * 64
    assert digest(frozen, CohortStore(**{**vars(store), "manifest": changed})) == first
    present = store.present.copy()
    present[0] = ~present[0]
    assert digest(frozen, CohortStore(**{**vars(store), "present": present})) != first
    with monkeypatch.context() as newer:
        newer.setattr(feature_cache, "__version__", "9")
        assert digest(frozen) != first
    encoder = build_model(frozen, store, seed=0).encoders["cxr"]
    assert isinstance(encoder, FrozenEncoder)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch, "get_num_threads", lambda: 77)
        assert digest(frozen) != first
        elsewhere.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
        gpus = [features_digest(store, "cxr", encoder, device=f"cuda:{n}") for n in (0, 1)]
    assert len({first, *gpus}) == 3


def test_a_long_computation_says_how_far_it_is_and_how_long_the_others_take(
    frozen: Pretraining, store: CohortStore, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    n, seconds = int(store.present[:, store.modalities.index("cxr")].sum()), [0.0]
    monkeypatch.setattr(feature_cache, "_ROWS_AT_A_TIME", 2)
    monkeypatch.setattr(feature_cache, "monotonic", lambda: seconds[0])

    def pass_time() -> None:
        seconds[0] += 4.0

    with_features(store, build_model(frozen, store, seed=0), pause=pass_time)
    first, *some, last = lines()
    assert f"{COMPUTING} of the frozen encoder for {n} samples, before the first step" in first
    assert KEPT in last
    parts = -(-n // 2)
    assert seconds[0] == 4.0 * parts  # the clock stands still while a part is computed
    # Lines follow the parts that end after 5 s, and a minute after each line.
    done = [
        number for number in range(1, parts) if number == 3 or (number > 3 and number % 15 == 3)
    ]
    assert len(some) == len(done) > 1
    for number, line in zip(done, some, strict=True):
        left = format_duration(4.0 * (number - 1) / (2 * number) * (n - 2 * number))
        assert line.endswith(
            f"features of {2 * number} of {n} samples are computed; about {left} for the others"
        )


def test_a_process_that_waits_for_features_says_so_once_and_stays_awake(
    frozen: Pretraining, store: CohortStore, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    waits, pauses = [0], list[int]()

    @contextmanager
    def busy_at_first(
        folder: Path, *, notify: Callable[[str], object], wait_s: float
    ) -> Iterator[bool]:
        if waits[0] < 3:
            waits[0] += 1
            notify("features: process 7 is writing it")
            raise FolderBusyError
        with lock_folder(folder, wait_s=wait_s) as is_inner:
            yield is_inner

    monkeypatch.setattr(feature_cache, "lock_folder", busy_at_first)
    model = build_model(frozen, store, seed=0)
    with_features(store, model, pause=lambda: pauses.append(waits[0]))
    assert pauses[:3] == [1, 2, 3]
    assert ["process 7" in line for line in lines()] == [True, False, False]

    def held(*_: object, **__: object) -> None:
        raise FolderHeldByParentError

    monkeypatch.setattr(feature_cache, "lock_folder", held)
    with pytest.raises(FolderHeldByParentError):
        with_features(store, model)


@pytest.mark.slow
def test_the_first_of_two_processes_computes_and_the_other_reads(
    store: CohortStore, tmp_path: Path
):
    settings = [word for one in (*TINY, "encoders.cxr.frozen=true") for word in ("--set", one)]
    command = [
        *(sys.executable, "-m", "clinical_symile", "train", "pretraining/symile"),
        *("--store", str(store.path), "--out", str(tmp_path / "runs"), "--accelerator", "cpu"),
        *("--devices", "2", *settings),
    ]
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=300, env=environment
    )
    said = [line for line in done.stderr.splitlines() if "features" in line]
    assert [sum(word in line for line in said) for word in (COMPUTING, KEPT, READ)] == [1, 1, 1]
    assert Run(tmp_path / "runs" / "symile-0").is_finished


def test_what_changes_inputs_keeps_features_from_being_used_and_says_so(
    frozen: Pretraining, catalog: Catalog, store: CohortStore, lines: Lines
):
    def reasons(*overrides: str) -> dict[str, str]:
        task = tiny(catalog, "pretraining/symile", "encoders.cxr.frozen=true", *overrides)
        return reasons_to_encode(task, build_learner(task, store, seed=0).objective)

    assert reasons() == {}
    assert reasons('augment.cxr={name="shift_image", most_px=4}').keys() == {"cxr"}
    assert "augmented" in reasons('augment.cxr={name="shift_image", most_px=4}')["cxr"]
    assert reasons("precision=64-true").keys() == {"cxr", "ecg", "labs"}
    assert "changed inputs" in reasons('objective={name="m3co"}')["cxr"]
    indicator = frozen.model_copy(update={"missing_modality": "indicator"})
    assert with_features(store, build_model(indicator, store, seed=0)) is store
    assert "also encodes samples without the modality" in lines()[0]
    for way in ("drop", "learned", "dropout"):
        task = frozen.model_copy(update={"missing_modality": way})
        assert with_features(store, build_model(task, store, seed=0)) is not store
    hidden = CohortStore(
        **{**vars(store), "withheld": {"cxr": WithheldBlocks(np.zeros((1, 2), int), (1, 1))}}
    )
    lines()
    assert with_features(hidden, build_model(frozen, store, seed=0)) is hidden
    assert "changed in memory" in lines()[0]


def test_a_place_that_cannot_be_written_is_said_and_training_goes_on(
    frozen: Pretraining, store: CohortStore, lines: Lines, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(feature_cache, "lock_folder", refuse)
    model = build_model(frozen, store, seed=0)
    made = with_features(store, model)
    said = lines()
    assert "cannot be written, so that features are not kept" in said[0]
    assert COMPUTING in said[1]
    encoder = model.encoders["cxr"]
    assert isinstance(encoder, FrozenEncoder)
    rows = np.flatnonzero(store.present[:, 0])[:3]
    expected = encoder.features(torch.from_numpy(store.inputs("cxr", rows))).numpy()
    np.testing.assert_array_equal(made.inputs("cxr", rows), expected)
    missing = np.flatnonzero(~store.present[:, 0])[:1]
    assert not made.inputs("cxr", missing).any()
