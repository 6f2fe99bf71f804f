"""The official Symile-MIMIC model as a run: its embeddings and scores, and nothing that runs."""

import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.tracking.run import Run
from clinical_symile.training._lightning_checkpoint import read_lightning_file
from clinical_symile.training.import_checkpoint import import_checkpoint
from clinical_symile.training.learner import load_learner
from tests.helpers.released import PARTS, Release, write_release
from tests.helpers.synthetic import quiet

DIM = 16
TASK = "symile_mimic/retrieval/cxr_given_ecg_labs"


class Tower(nn.Module):
    """An encoder of the official model: a network called `resnet`, then a LayerNorm."""

    def __init__(self, resnet: nn.Module):
        super().__init__()
        self.resnet = resnet
        self.layer_norm = nn.LayerNorm(DIM)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer_norm(self.resnet(inputs))


class LabsTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (
            nn.Linear(100, 256),
            nn.Linear(256, 1024),
            nn.Linear(1024, DIM),
        )
        self.layer_norm = nn.LayerNorm(DIM)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.fc2(nn.functional.gelu(self.fc1(inputs))))
        return self.layer_norm(self.fc3(hidden))


class Official(nn.Module):
    """The official architecture, with the names and shapes of its modules."""

    def __init__(self):
        super().__init__()
        xray, ecg = torchvision.models.resnet50(), torchvision.models.resnet18()
        xray.fc = nn.Linear(2048, DIM)
        ecg.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        ecg.fc = nn.Linear(512, DIM)
        self.cxr_encoder, self.ecg_encoder, self.labs_encoder = Tower(xray), Tower(ecg), LabsTower()
        self.logit_scale = nn.Parameter(torch.tensor(-4.9))

    @torch.inference_mode()
    def embeddings(self, release: Release, part: str) -> dict[int, Tensor]:
        """Of each admission of a part: X-ray, ECG and labs."""
        ids, first = np.unique(release.load("hadm_id", part), return_index=True)
        arrays = {
            name: torch.from_numpy(release.load(name, part)[first])
            for name in ("cxr", "ecg", "labs_percentiles", "labs_missingness")
        }
        labs = torch.cat([arrays["labs_percentiles"], arrays["labs_missingness"]], dim=1)
        z = [self.cxr_encoder(arrays["cxr"]), self.ecg_encoder(arrays["ecg"])]
        z = torch.stack([*z, self.labs_encoder(labs)], dim=1)
        return dict(zip(ids.tolist(), z, strict=True))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    return write_release(folder, np.random.default_rng(3), train=3, val=3, test=4, missing=0.1)


@pytest.fixture(scope="module")
def store(
    release: Release, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> CohortStore:
    out = tmp_path_factory.mktemp("store") / "store"
    return prepare_cohort(catalog, "symile_mimic", source=release.folder, out=out, bar=quiet)


@pytest.fixture(scope="module")
def official() -> Official:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Official()
        for module in model.modules():  # as after training: nothing stands where it began
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.2)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = torch.rand(module.num_features) / 5
                module.running_var = torch.rand(module.num_features) + 0.5
    return model.eval()


def content(official: nn.Module, **settings: Any) -> dict[str, Any]:
    """What Lightning puts into a checkpoint."""
    return {
        "epoch": 20,
        "global_step": 756,
        "pytorch-lightning_version": "2.3.3",
        "state_dict": official.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(9.6), "dirpath": "x"}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(756.0)}}, "param_groups": [{}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "loss_fn": "symile",
            "negative_sampling": "n_squared",
            "logit_scale_init": -7.0,
            "batch_sz_train": 280,
            "epochs": 80,
            "lr": 0.001,
            "weight_decay": 0.5,
            "d": DIM,
            "pretrained": False,
            "freeze_logit_scale": False,
            "data_dir": PurePosixPath("/scratch/data"),
            "save_dir": Path("runs"),
            "ckpt_path": None,
            **settings,
        },
    }


@pytest.fixture
def write(official: Official, tmp_path: Path) -> Callable[..., Path]:
    def write(**settings: Any) -> Path:
        torch.save(content(official, **settings), tmp_path / "model.ckpt")
        return tmp_path / "model.ckpt"

    return write


@pytest.fixture
def imported(write: Callable[..., Path], store: CohortStore, catalog: Catalog, tmp_path: Path):
    def imported(**settings: Any) -> Run:
        run = Run(tmp_path / "runs" / "released")
        file = write(**settings)
        assert import_checkpoint(file, catalog=catalog, store=store, run=run) == []
        return run

    return imported


def ours(run: Run, store: CohortStore, rows: np.ndarray | None = None) -> Tensor:
    task = parse_task(run.metadata["definition"], name=run.metadata["task"], where="run.toml")
    assert isinstance(task, Pretraining)
    rows = np.arange(len(store.samples)) if rows is None else rows
    return embed_rows(load_learner(run, task, store).model, store, rows).z


def theirs(
    official: Official, release: Release, store: CohortStore, rows: np.ndarray | None = None
) -> Tensor:
    table = store.samples if rows is None else store.samples.iloc[rows]
    found = {
        sample: z
        for part, split in PARTS.items()
        if split in set(table["split"])
        for sample, z in official.embeddings(release, part).items()
    }
    return torch.stack([found[sample] for sample in table["sample"]])


@pytest.mark.parametrize("part", ["test", pytest.param(None, marks=pytest.mark.slow)])
def test_embeddings_are_the_official_models(
    part: str | None,
    imported: Callable[..., Run],
    official: Official,
    release: Release,
    store: CohortStore,
) -> None:
    rows = store.rows(PARTS[part]) if part else np.arange(len(store.samples))
    z, expected = ours(imported(), store, rows), theirs(official, release, store, rows)
    torch.testing.assert_close(z, expected, rtol=1e-5, atol=2e-5)
    assert expected.std(dim=0).min() > 1e-4, "they must differ, or this shows nothing"


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["symile", "clip"])
def test_retrieval_is_the_official_models(
    objective: str,
    imported: Callable[..., Run],
    official: Official,
    release: Release,
    store: CohortStore,
    catalog: Catalog,
) -> None:
    run = imported(loss_fn=objective)
    task = read_task(catalog, TASK)
    assert isinstance(task, Retrieval)
    evaluate_run(run, [task], store=store)
    z = dict(zip(store.samples["sample"], theirs(official, release, store), strict=True))
    above = {}
    for query, listed in release.candidates["test"].items():
        _, ecg, labs = z[query]
        if objective == "symile":
            scores = {one: (z[one][0] * ecg * labs).sum() for one in listed}
        else:
            scores = {one: z[one][0] @ ecg + z[one][0] @ labs + ecg @ labs for one in listed}
        above[query] = sum(bool(score > scores[query]) for score in scores.values())
    outcome = run.outcome(TASK, "complete")
    samples = store.samples["sample"].to_numpy()[outcome["row"]]
    assert dict(zip(samples, outcome["above"], strict=True)) == above
    assert outcome["candidates"].tolist() == [3] * 4


def test_the_record_says_what_it_is_and_no_path(imported: Callable[..., Run]) -> None:
    run = imported()
    record = run.metadata
    assert run.is_finished
    assert record["imported"]["epoch"] == 20
    definition = record["definition"]
    assert definition["dim"] == DIM
    assert definition["objective"]["negatives"] == "all"
    assert definition["objective"]["temperature"] == pytest.approx(np.exp(7))
    assert (definition["batch_size"], definition["epochs"]) == (280, 80)
    assert "scratch" not in (run.path / "run.toml").read_text()


@pytest.mark.slow
def test_with_millivolts_the_model_sees_the_same(
    official: Official,
    catalog: Catalog,
    tmp_path: Path,
    write: Callable[..., Path],
    write_ecg: Callable[..., None],
) -> None:
    """From MIMIC's own files; but for the crop of train's X-rays, which the release drew."""
    rng = np.random.default_rng(5)
    release = write_release(
        tmp_path / "raw", rng, train=3, val=3, test=3, missing=0.1, write_ecg=write_ecg
    )
    store = prepare_cohort(
        catalog, "symile_mimic", source=release.folder, out=tmp_path / "store", bar=quiet
    )
    assert store.manifest["layout"] == "raw"
    run = Run(tmp_path / "runs/released")
    import_checkpoint(write(), catalog=catalog, store=store, run=run)
    z, expected = ours(run, store), theirs(official, release, store)
    torch.testing.assert_close(z[:, 1:], expected[:, 1:], rtol=1e-5, atol=2e-5)
    held_out = store.rows("held_out")
    torch.testing.assert_close(z[held_out], expected[held_out], rtol=1e-5, atol=2e-5)


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.file, "run")


@pytest.mark.parametrize("place", ["state_dict", "hyper_parameters", "callbacks"])
def test_a_file_with_code_in_it_is_refused_and_nothing_is_run(
    place: str, official: Official, store: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    hostile = content(official)
    hostile[place] = {**hostile[place], "x": Hostile(tmp_path / "was-run")}
    torch.save(hostile, tmp_path / "model.ckpt")
    run = Run(tmp_path / "runs/released")
    with pytest.raises(DataError, match=r"could run code; nothing was run") as caught:
        import_checkpoint(tmp_path / "model.ckpt", catalog=catalog, store=store, run=run)
    assert "getattr" in str(caught.value)
    assert not (tmp_path / "was-run").exists()
    assert not run.path.exists()


@pytest.mark.parametrize("write_it", [pickle.dumps, lambda content: b"not a checkpoint"])
def test_what_is_no_archive_of_pytorch_is_refused(
    write_it: Callable[[Any], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "model.ckpt"
    file.write_bytes(write_it({"state_dict": Hostile(tmp_path / "was-run")}))
    with pytest.raises(DataError, match="expected"):
        read_lightning_file(file)
    assert not (tmp_path / "was-run").exists()
    with pytest.raises(DataError, match="no such file"):
        read_lightning_file(tmp_path / "none.ckpt")
    torch.save({"weights": torch.zeros(2)}, file)
    with pytest.raises(DataError, match="has no 'state_dict' of weights"):
        read_lightning_file(file)


def test_settings_may_be_a_namespace_and_paths_become_text(tmp_path: Path) -> None:
    settings = Namespace(lr=0.1, data_dir=Path("/a/b"))
    torch.save({"state_dict": {}, "hyper_parameters": settings}, tmp_path / "model.ckpt")
    read = read_lightning_file(tmp_path / "model.ckpt")
    assert read.settings["lr"] == 0.1
    assert read.settings["data_dir"].endswith("a/b")


def test_other_models_and_losses_are_refused(
    official: Official, store: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    file = tmp_path / "model.ckpt"
    whole = content(official)
    without = {k: v for k, v in whole["state_dict"].items() if "ecg_encoder.resnet.fc" not in k}
    for changed, told in (
        ({"state_dict": {**whole["state_dict"], "gate.weight": torch.zeros(1)}}, "'gate.weight'"),
        ({"state_dict": without}, "2 differ, such as 'model.encoders.ecg.network.fc.bias'"),
        ({"hyper_parameters": {"loss_fn": "gram"}}, "was trained with loss 'gram'"),
    ):
        torch.save({**whole, **changed}, file)
        with pytest.raises(DataError) as caught:
            import_checkpoint(file, catalog=catalog, store=store, run=Run(tmp_path / "r"))
        assert told in str(caught.value)


def test_a_store_that_lacks_what_the_model_reads_is_refused(
    write: Callable[..., Path], synthetic_store: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    run = Run(tmp_path / "runs/released")
    with pytest.raises(DataError) as caught:
        import_checkpoint(write(), catalog=catalog, store=synthetic_store, run=run)
    assert "its analytes are not those of cohort 'symile_mimic'" in str(caught.value)
    assert "X-rays have shape [1, 64, 64]" in str(caught.value)


def test_a_run_that_is_there_is_not_overwritten(
    imported: Callable[..., Run], write: Callable[..., Path], store: CohortStore, catalog: Catalog
) -> None:
    run = imported()
    with pytest.raises(DataError, match=r"released: the run exists\. Give another --name"):
        import_checkpoint(write(), catalog=catalog, store=store, run=run)
