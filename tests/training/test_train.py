import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import build_training_view
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.formatting import format_parts
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.distributed import Group
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.loss import sum_of_terms
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import augmented_task, mlp_task, tiny


@pytest.fixture
def learn(synthetic_store: CohortStore, tmp_path: Path) -> Callable[..., Run]:
    """A function that trains on the CPU into a folder of that name."""

    def learn(
        task: Pretraining,
        name: str = "run",
        *,
        seed: int = 0,
        store: CohortStore = synthetic_store,
        on_epoch: Callable[[Run], object] = lambda run: None,
    ) -> Run:
        run = Run(tmp_path / name)
        return train(task, store=store, run=run, seed=seed, accelerator="cpu", on_epoch=on_epoch)

    return learn


def _weights(run: Run) -> dict[str, Tensor]:
    return load_file(run.weights)


def _history(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in run.history]


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("task", ["pretraining/symile", "pretraining/clip"])
def test_the_loss_goes_down(task: str, catalog: Catalog, learn: Callable[..., Run]) -> None:
    losses = [
        epoch["loss"] for epoch in learn(tiny(catalog, task, "epochs=5", "batch_size=16")).history
    ]
    assert losses[-1] < losses[0] - 0.1


ALL, PAIRS = ("cxr", "ecg", "labs"), ("cxr-ecg", "cxr-labs", "ecg-labs")


def test_the_history_says_what_each_epoch_did(catalog: Catalog, learn: Callable[..., Run]) -> None:
    run = learn(mlp_task(catalog))
    assert [epoch["epoch"] for epoch in run.history] == [1, 2, 3]
    steps = run.history[0]["step"]
    assert [epoch["step"] for epoch in run.history] == [steps, 2 * steps, 3 * steps]
    for epoch in run.history:
        assert set(epoch) == {
            *(
                "epoch",
                "step",
                "loss",
                "gradient_norm",
                "left_over",
                "learning_rate",
                "logit_scale",
            ),
            *("tuning/mean_reciprocal_rank", "tuning/tc_estimate", "seconds"),
            *(f"health/{what}/{pair}" for what in ("alignment", "modality_gap") for pair in PAIRS),
            *(f"health/{what}/{one}" for what in ("uniformity", "effective_rank") for one in ALL),
        }
        assert all(math.isfinite(value) for value in epoch.values())
    assert run.is_finished


def test_the_record_says_all_it_takes_to_do_it_again(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    task = mlp_task(catalog, "optimiser.weight_decay=0.125")
    record = learn(task, seed=4).metadata
    assert (record["task"], record["seed"], record["cohort"]) == (task.name, 4, "synthetic")
    assert record["store_digest"] == synthetic_store.digest
    without_settings = task.model_copy(update={"settings": ()})
    assert Pretraining(name=task.name, **record["definition"]) == without_settings


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    task = tiny(catalog, "pretraining/symile", "objective.negatives=shuffled")
    first, again, other = learn(task, "a"), learn(task, "b"), learn(task, "c", seed=1)
    assert first.weights.read_bytes() == again.weights.read_bytes()
    assert _history(first) == _history(again)
    assert not _same(_weights(first), _weights(other))


class _StoppedError(Exception):
    pass


def _stop_after(epoch: int) -> Callable[[Run], None]:
    def stop(run: Run) -> None:
        if len(run.history) == epoch:
            raise _StoppedError

    return stop


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_training_that_was_stopped_ends_as_if_it_had_not_been(
    epoch: int, catalog: Catalog, learn: Callable[..., Run]
) -> None:
    task = tiny(
        catalog, "pretraining/symile", "epochs=3", "missingness=mcar-30", "missing_modality=learned"
    )
    whole = learn(task, "whole")
    with pytest.raises(_StoppedError):
        learn(task, "stopped", on_epoch=_stop_after(epoch))
    stopped = Run(whole.path.with_name("stopped"))
    assert not stopped.is_finished
    assert len(stopped.history) == epoch
    learn(task, "stopped")
    assert stopped.is_finished
    assert _history(stopped) == _history(whole)
    assert _same(_weights(stopped), _weights(whole))
    last = [load_file(run.path / "last" / "3.safetensors") for run in (stopped, whole)]
    assert _same(*last)


class Dropping(nn.Module):
    """An encoder that draws."""

    def __init__(self, shape: tuple[int, ...], dim: int):
        super().__init__()
        layers = nn.Flatten(), nn.Dropout(0.5), nn.Linear(math.prod(shape), dim)
        self.network = nn.Sequential(*layers)

    def forward(self, vector: Tensor) -> Tensor:
        return self.network(vector)


STATEFUL = ("distilled", "intra", "isogclr", "m3co", "queue", "sogclr")


@pytest.mark.parametrize("name", STATEFUL)
def test_what_an_objective_keeps_is_in_the_checkpoint_and_leaves_with_no_model(
    name: str, catalog: Catalog, learn: Callable[..., Run], synthetic_store: CohortStore
) -> None:
    task = mlp_task(catalog, task=f"pretraining/objectives/{name}")
    whole = learn(task, "whole")
    with pytest.raises(_StoppedError):
        learn(task, "stopped", on_epoch=_stop_after(2))
    stopped = learn(task, "stopped")
    assert _history(stopped) == _history(whole)
    assert _same(_weights(stopped), _weights(whole))
    last, expected = (run.path / "last" / "3.safetensors" for run in (stopped, whole))
    assert last.read_bytes() == expected.read_bytes()
    kept = {key.split(".")[1] for key in load_file(last) if key.startswith("training.")}
    assert kept == {
        "distilled": {"teacher"},
        "queue": {"teacher", "objective"},
        "sogclr": {"objective"},
        "isogclr": {"objective"},
    }.get(name, set())
    assert set(_weights(whole)) == set(load_learner(whole, task, synthetic_store).state_dict())


def test_a_teacher_keeps_the_share_of_its_momentum(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    def taught(momentum: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        task = mlp_task(
            catalog,
            f"objective.momentum={momentum}",
            "epochs=1",
            task="pretraining/objectives/distilled",
        )
        run = learn(task, f"momentum-{momentum}")
        state = load_file(run.path / "last" / "1.safetensors")
        prefixes = "training.teacher.", "learner.model."
        teacher, model = (
            {name.removeprefix(p): value for name, value in state.items() if name.startswith(p)}
            for p in prefixes
        )
        return teacher, {name: model[name] for name in teacher}

    assert _same(*taught(0.0))
    frozen, trained = taught(1.0)
    assert any(not torch.equal(frozen[name], trained[name]) for name in frozen)
    assert _same(frozen, taught(1.0)[0])


DROPPING = 'encoders.labs={name="tests.training.test_train:Dropping"}'


def test_what_encoders_draw_is_drawn_from_the_seed_and_nothing_else(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    task = mlp_task(catalog, DROPPING, "encode_at_a_time=5")
    torch.manual_seed(1)
    whole = learn(task, "whole")
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after), "the global stream was used"
    with pytest.raises(_StoppedError):
        learn(task, "stopped", on_epoch=_stop_after(1))
    assert _same(_weights(learn(task, "stopped")), _weights(whole))
    assert not _same(_weights(learn(task, "other", seed=1)), _weights(whole))


def test_augmented_training_is_drawn_from_the_seed_and_goes_on_as_if_never_stopped(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    task = augmented_task(catalog)
    whole = learn(task, "whole")
    with pytest.raises(_StoppedError):
        learn(task, "stopped", on_epoch=_stop_after(1))
    assert _same(_weights(learn(task, "stopped")), _weights(whole))
    plain = learn(tiny(catalog, "pretraining/symile"), "plain")
    assert not _same(_weights(plain), _weights(whole))


def test_training_in_float64_goes_on_in_float64(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    task = mlp_task(catalog, "precision=64-true")
    whole = learn(task, "whole")
    with pytest.raises(_StoppedError):
        learn(task, "stopped", on_epoch=_stop_after(2))
    stopped = learn(task, "stopped")
    assert _history(stopped) == _history(whole)
    assert _same(_weights(stopped), _weights(whole))


def test_every_encoder_is_compiled_where_a_task_says_so(
    catalog: Catalog, learn: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(
        nn.Module, "compile", lambda module, backend: compiled.append((type(module), backend))
    )
    learn(mlp_task(catalog, "epochs=1"), "plain")
    assert compiled == []
    learn(mlp_task(catalog, "epochs=1", "compile=true"), "compiled")
    assert compiled == [(Mlp, "inductor")] * 3


COMPILED = """
import json, sys
from pathlib import Path
from clinical_symile.tracking.run import Run
from clinical_symile.data.store import open_store
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.training.train import train

task = parse_task(json.loads(sys.argv[3]), name="a", where="the test")
run = Run(Path(sys.argv[1]))
train(task, store=open_store(Path(sys.argv[2])), run=run, seed=0, accelerator="cpu")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_compiled_encoders_learn_the_same(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run], tmp_path: Path
) -> None:
    # In a process of its own: annotations that are checked at run time cannot be compiled.
    # In float64, since AdamW makes much of a gradient's rounding where it is close to zero.
    task = mlp_task(catalog, "epochs=1", "precision=64-true")
    definition = {**task.model_dump(mode="json", exclude={"name"}), "compile": True}
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", COMPILED),
            *(tmp_path / "compiled", synthetic_store.path, json.dumps(definition)),
        ],
        check=True,
        timeout=300,
    )
    plain, compiled = _weights(learn(task, "plain")), _weights(Run(tmp_path / "compiled"))
    for name, weights in plain.items():
        torch.testing.assert_close(compiled[name], weights, rtol=1e-5, atol=1e-7)


def test_encoders_that_run_in_parts_learn_what_they_learn_at_once(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    whole, parts = (
        learn(mlp_task(catalog, "precision=64-true", "missingness=mcar-30", *more), name)
        for name, more in (("whole", ()), ("parts", ("encode_at_a_time=3",)))
    )
    for expected, found in zip(_history(whole), _history(parts), strict=True):
        assert found == pytest.approx(expected, rel=1e-6)
    for name, weights in _weights(whole).items():
        torch.testing.assert_close(_weights(parts)[name], weights, rtol=1e-5, atol=1e-7)


def test_parts_with_statistics_of_their_own_learn_too(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    overrides = ("encode_at_a_time=8", "batch_statistics=parts", "epochs=4")
    losses = [
        epoch["loss"] for epoch in learn(tiny(catalog, "pretraining/symile", *overrides)).history
    ]
    assert losses[-1] < losses[0]


def test_training_stopped_while_an_epoch_is_written_goes_on_from_the_one_before(
    catalog: Catalog, learn: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = mlp_task(catalog)
    whole = learn(task, "whole")
    write = Run.write_history

    def stop_at_the_second(run: Run, history: Sequence[Any]) -> None:
        if len(history) == 2:
            raise _StoppedError
        write(run, history)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "write_history", stop_at_the_second)
        with pytest.raises(_StoppedError):
            learn(task, "stopped")
    stopped = learn(task, "stopped")
    assert _history(stopped) == _history(whole)
    assert _same(_weights(stopped), _weights(whole))
    assert [path.name for path in (stopped.path / "last").iterdir()] == ["3.safetensors"]


def test_the_first_epoch_with_the_best_tuning_metric_is_kept(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    states = []

    def keep(run: Run) -> None:
        path = run.path / "last" / f"{len(run.history)}.safetensors"
        states.append(
            {k.removeprefix("learner."): v for k, v in load_file(path).items() if "learner." in k}
        )

    run = learn(mlp_task(catalog, "epochs=6", "optimiser.learning_rate=0.05"), on_epoch=keep)
    values = [epoch["tuning/mean_reciprocal_rank"] for epoch in run.history]
    best = values.index(max(values))
    assert best != len(values) - 1, "the last epoch is the best: this tells nothing"
    assert _same(_weights(run), states[best])


def test_the_tuning_metric_is_the_kept_model_asked_again(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    targets = 'selection.targets=["ecg", "labs"]'
    task = tiny(catalog, "pretraining/symile", targets, "epochs=1")
    run = learn(task)
    learner = load_learner(run, task, synthetic_store)
    rows = synthetic_store.rows("tuning")
    rows = rows[synthetic_store.present[rows].all(axis=1)]
    z = embed_rows(learner.model, synthetic_store, rows).z
    reciprocals = []
    for target, other in ((1, 2), (2, 1)):
        for sample in range(len(rows)):
            score = (z[sample, 0] * z[sample, other] * z[:, target]).sum(dim=1)
            reciprocals.append(1 / (1 + int((score > score[sample]).sum())))
    expected = np.mean(reciprocals)
    assert run.history[0]["tuning/mean_reciprocal_rank"] == pytest.approx(expected, rel=1e-3)


def test_a_finished_run_is_not_trained_again(catalog: Catalog, learn: Callable[..., Run]) -> None:
    task = mlp_task(catalog)
    run = learn(task)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    learn(task, on_epoch=_stop_after(1))
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_a_folder_of_another_run_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    run = learn(mlp_task(catalog))
    before = run.path.joinpath("run.toml").read_bytes(), run.weights.read_bytes()
    for task, seed, what in (
        (mlp_task(catalog), 1, r"another seed \(0\); expected 1"),
        (mlp_task(catalog, "dim=4"), 0, "another task_digest"),
        (mlp_task(catalog, task="pretraining/clip"), 0, "another task, task_digest"),
    ):
        with pytest.raises(DataError, match=what + ".* Give another folder or name"):
            learn(task, seed=seed)
    store = replace(
        synthetic_store, manifest={**synthetic_store.manifest, "digest": "of another store"}
    )
    with pytest.raises(DataError, match="another store_digest"):
        learn(mlp_task(catalog), store=store)
    assert (run.path.joinpath("run.toml").read_bytes(), run.weights.read_bytes()) == before


def _with_present(store: CohortStore, present: np.ndarray) -> CohortStore:
    return replace(store, present=present)


def test_a_batch_without_two_complete_samples_is_told_with_advice(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    present = synthetic_store.present.copy()
    train_rows = synthetic_store.rows("train")
    present[train_rows[::2], 0], present[train_rows[1::2], 1] = False, False
    with pytest.raises(DataError) as caught:
        learn(mlp_task(catalog), store=_with_present(synthetic_store, present))
    assert "epoch 1: a Symile step needs at least 2 complete samples" in str(caught.value)
    assert "Raise batch_size" in str(caught.value)


def test_a_batch_of_one_site_is_not_told_to_grow(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    present = synthetic_store.present.copy()
    train_rows = synthetic_store.rows("train")
    present[train_rows[::2], 0], present[train_rows[1::2], 1] = False, False
    samples = synthetic_store.samples.assign(group_site="north")
    store = replace(_with_present(synthetic_store, present), samples=samples)
    with pytest.raises(DataError, match="Set batches to 'shuffled', choose a missing") as caught:
        learn(mlp_task(catalog, "batches=one-site"), store=store)
    assert "Raise batch_size" not in str(caught.value)


def test_too_few_samples_to_learn_from_or_to_choose_by_are_told_together(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    alone = np.zeros_like(synthetic_store.present)
    alone[:, 2] = True
    with pytest.raises(DataError) as caught:
        learn(mlp_task(catalog), store=_with_present(synthetic_store, alone))
    assert "the train split has 0 samples with" in str(caught.value)
    assert "the tuning split has 0 samples with all modalities of the task" in str(caught.value)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train_and_are_evaluated_like_any(
    precision: str, catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    task = tiny(catalog, "pretraining/symile", f"precision={precision}", "batch_size=16")
    run = learn(task)
    assert all(math.isfinite(epoch["loss"]) for epoch in run.history)
    # The first epochs of the same seed differ by rounding alone.
    single = learn(tiny(catalog, "pretraining/symile", "batch_size=16"), "single")
    assert run.history[0]["loss"] == pytest.approx(single.history[0]["loss"], rel=0.05)
    assert load_learner(run, task, synthetic_store).model.dim == task.dim


def test_the_gradient_that_reaches_the_optimiser_is_no_longer_than_its_limit(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    run = learn(mlp_task(catalog, "epochs=1", "optimiser.gradient_clip=1e-3"))
    assert run.history[0]["gradient_norm"] > 0.1, "nothing to limit: this tells nothing"
    # The first moment is a mean of the steps' gradients, and so no longer than the longest.
    state = load_file(run.path / "last" / "1.safetensors")
    moment = torch.cat([v.flatten() for k, v in state.items() if k.endswith(".exp_avg")])
    assert 0 < moment.norm() <= 1e-3


class Growing(Clip):
    """An objective whose scale can only grow, from 1 to 1.01."""

    def __init__(self):
        super().__init__(temperature=1.0, logit_scale_max=1.01)

    def distributed_loss(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Tensor:
        return super().distributed_loss(share, group=group) - 100 * self.logit_scale


def test_the_scale_that_a_run_keeps_is_within_its_limit(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    run = learn(mlp_task(catalog, 'objective={name="tests.training.test_train:Growing"}'))
    last = load_file(run.path / "last" / "3.safetensors")
    for kept in (
        last["learner.objective.log_logit_scale"],
        _weights(run)["objective.log_logit_scale"],
    ):
        assert kept.exp().item() == pytest.approx(1.01)


TWO_PROCESSES = """
import json, sys
from pathlib import Path
import torch
from clinical_symile.tracking.run import Run
from clinical_symile.data.store import open_store
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.training.train import train

torch.set_num_threads(1)
folder, store = Path(sys.argv[1]), open_store(Path(sys.argv[2]))
for name, definition in json.loads(sys.argv[3]).items():
    task = parse_task(definition, name=name, where="the test")
    train(task, store=store, run=Run(folder / name), seed=0, accelerator="cpu", devices=2)
(folder / "after").open("a").write("one process goes on\\n")
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_leave_one(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run], tmp_path: Path
) -> None:
    # One batch is all samples, so that every epoch's loss and gradient are those of one step, and
    # of an odd number, so that shares differ. In float64, since AdamW makes much of a gradient's
    # rounding where it is close to zero.
    tasks = {
        "symile": mlp_task(
            catalog, "precision=64-true", "missing_modality=learned", "missingness=mcar-30"
        ),
        "clip": mlp_task(catalog, "precision=64-true", task="pretraining/clip"),
        **{
            way: mlp_task(
                catalog, "precision=64-true", f"missing_modality={way}", "missingness=mcar-30"
            )
            for way in ("bank", "mean", "predicted")
        },
        **{
            name: mlp_task(catalog, "precision=64-true", task=f"pretraining/balance/{name}")
            for name in ("balgrad", "mcr", "mlb", "mgda", "ogm_ge")
        },
    }
    for name, task in tasks.items():
        rows = len(build_training_view(task, synthetic_store, seed=0, min_modalities=2).rows)
        tasks[name] = task.model_copy(update={"batch_size": rows - 1 + rows % 2})
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES)
    folder = tmp_path / "two"
    folder.mkdir()
    definitions = {
        name: task.model_dump(mode="json", exclude={"name"}) for name, task in tasks.items()
    }
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    subprocess.run(
        [sys.executable, script, folder, synthetic_store.path, json.dumps(definitions)],
        check=True,
        timeout=300,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )
    assert (folder / "after").read_text() == "one process goes on\n"
    for name, task in tasks.items():
        one, two = learn(task, f"one-{name}"), Run(folder / name)
        assert two.is_finished
        for alone, together in zip(_history(one), _history(two), strict=True):
            for key in {"loss", "gradient_norm", "logit_scale"} & alone.keys():
                assert together[key] == pytest.approx(alone[key], rel=1e-6), (name, key)
        alone, together = _weights(one), _weights(two)
        for key in alone:
            torch.testing.assert_close(together[key], alone[key], rtol=1e-5, atol=1e-7)


def test_training_that_fails_before_an_epoch_is_whole_leaves_the_folder_to_the_corrected_command(
    catalog: Catalog, learn: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DefinitionError, match=r"encoders\.ecg: width is 0; expected a whole"):
        learn(tiny(catalog, "pretraining/symile", "encoders.ecg.width=0"))

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("after the last step")

    with monkeypatch.context() as patched:
        patched.setattr("clinical_symile.training.train.tuning_metrics", fail)
        with pytest.raises(RuntimeError, match="after the last step"):
            learn(mlp_task(catalog))
    assert learn(mlp_task(catalog, "dim=4", "epochs=1")).is_finished


def test_training_that_diverges_says_so_and_what_to_do(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    with pytest.raises(DataError, match=r"diverged in epoch .* Lower optimiser\.learning_rate"):
        learn(mlp_task(catalog, "optimiser.learning_rate=1e30", "epochs=20"))


class BrokenTerm(Objective):
    """CLIP with a second term that is not finite from the second epoch on."""

    display_name = "broken"
    description = "Breaks."

    def __init__(self):
        super().__init__(temperature=0.1)
        self.steps = 0

    def batch_loss(self, z, available, *, generator):
        del generator
        self.steps += 1
        broken = torch.tensor(torch.nan if self.steps > 6 else 0.5)
        return sum_of_terms(
            sound=clip_loss(z, self.logit_scale, available=available), broken=broken
        )


def test_the_history_has_each_term_and_one_that_is_not_finite_is_named(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    broken = 'objective={name="tests.training.test_train:BrokenTerm"}'
    with pytest.raises(DataError, match=r"the loss is not finite, in its term 'broken'\. Lower"):
        learn(mlp_task(catalog, broken))
    done = learn(mlp_task(catalog, task="pretraining/objectives/pmrl"), "pmrl")
    for epoch in done.history:
        terms = {key: value for key, value in epoch.items() if key.startswith("loss/")}
        assert set(terms) == {"loss/alignment", "loss/directions"}
        assert epoch["loss"] == pytest.approx(sum(terms.values()), rel=1e-5)


def test_labels_of_other_splits_never_reach_the_weights_and_those_of_train_samples_do(
    catalog: Catalog, synthetic_store: CohortStore, learn: Callable[..., Run]
) -> None:
    task = mlp_task(
        catalog,
        "epochs=1",
        'side.labels=["deterioration"]',
        task="pretraining/objectives/supcon",
    )
    before = _weights(learn(task, "before"))
    column, samples = "outcome_deterioration", synthetic_store.samples
    for name, changed in (
        ("others", samples["split"] != "train"),
        ("train", samples["split"] == "train"),
    ):
        flipped = samples.assign(**{column: samples[column].where(~changed, 1 - samples[column])})
        # One label in three, since labels that are all exchanged say the same.
        flipped.loc[(samples.index % 3 > 0) & changed, column] = samples[column]
        after = _weights(learn(task, name, store=replace(synthetic_store, samples=flipped)))
        assert _same(before, after) == (name == "others")


def test_a_task_whose_side_information_the_objective_does_not_read_is_refused(
    catalog: Catalog, learn: Callable[..., Run]
) -> None:
    task = mlp_task(catalog, 'side={labels=["deterioration"]}')
    with pytest.raises(DefinitionError, match="the objective does not read labels"):
        learn(task)


@pytest.mark.parametrize(
    "fields",
    [
        ("pairs=paired-25", "missingness=mcar-30", "missing_modality=learned"),
        ("pairs=mismatched-20", "batches=one-per-subject"),
        ("pairs=paired-50", "batches=one-site"),
    ],
)
def test_other_pairs_and_batches_are_recorded_counted_and_resumed_to_the_bit(
    fields: Sequence[str], catalog: Catalog, learn: Callable[..., Run], synthetic_store: CohortStore
) -> None:
    sites = np.where(np.arange(len(synthetic_store.samples)) % 3 > 0, "north", "south")
    samples = synthetic_store.samples.assign(group_site=sites)
    store = replace(synthetic_store, samples=samples)
    task = mlp_task(catalog, "epochs=2", "batch_size=32", *fields)
    whole = learn(task, "whole", store=store)
    with pytest.raises(_StoppedError):
        learn(task, "stopped", store=store, on_epoch=_stop_after(1))
    stopped = learn(task, "stopped", store=store)
    assert stopped.weights.read_bytes() == whole.weights.read_bytes()
    assert _history(stopped) == _history(whole)
    view = build_training_view(task, store, seed=0, min_modalities=2)
    assert whole.metadata["pairing"] == format_parts(view.pairing) != {}
    # Rows of samples that were taken apart fill more batches than an epoch has.
    most = 32 + len(view.rows) - len(np.unique(view.rows))
    assert {epoch.get("left_over", 0) for epoch in whole.history} <= {0, *range(10, most)}


@pytest.mark.parametrize("pairs", ["paired-100", "mismatched-0"])
def test_pairs_that_change_nothing_give_the_weights_of_matched_ones(
    pairs: str, catalog: Catalog, learn: Callable[..., Run]
) -> None:
    runs = [
        learn(mlp_task(catalog, "epochs=1", f"pairs={word}"), word) for word in ("matched", pairs)
    ]
    assert runs[0].weights.read_bytes() == runs[1].weights.read_bytes()
