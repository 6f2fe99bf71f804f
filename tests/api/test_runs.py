import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import clinical_symile as cs
from tests.api.conftest import TASK
from tests.helpers.synthetic import TINY


class Noise:
    """Embeds every sample by chance."""

    def embed(self, store: cs.CohortStore, rows: np.ndarray) -> cs.Embeddings:
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(len(rows), len(store.modalities), 4, generator=generator)
        return cs.Embeddings(
            z=torch.nn.functional.normalize(z, dim=-1),
            available=torch.from_numpy(store.present[rows]),
            modalities=store.modalities,
            rows=torch.from_numpy(rows),
        )


class Broken(Noise):
    """Claims measurements that the store does not have, with values that are no numbers."""

    def embed(self, store: cs.CohortStore, rows: np.ndarray) -> cs.Embeddings:
        made = super().embed(store, rows)
        z, available = made.z.clone(), torch.ones_like(made.available)
        z[0] = torch.nan
        return replace(made, z=z, available=available)


def test_a_path_and_a_run_give_the_same_results(workplace: Path):
    store = cs.open_store("store")
    by_path = cs.evaluate("runs/symile-0", "store", tasks=TASK, missingness="complete")
    by_object = cs.evaluate(cs.Run(workplace / "runs/symile-0"), store, tasks=[TASK])
    wanted = [row for row in by_object.rows if row.missingness == "complete"]
    assert list(by_path.rows) == wanted
    assert {row.missingness for row in by_object.rows} > {"complete"}


def test_a_model_with_one_method_is_evaluated_without_a_file(workplace: Path):
    before = sorted(workplace.rglob("*"))
    results = cs.evaluate(
        Noise(),
        "store",
        tasks=["retrieval/*", "!*/more/*"],
        missingness="complete",
        objective="clip",
    )
    assert {row.run for row in results.rows} == {"Noise"}
    assert {row.missingness for row in results.rows} == {"complete"}
    assert {row.metric for row in results.primary.rows} == {"recall_at_1"}
    assert sorted(workplace.rglob("*")) == before


def test_a_kept_model_is_compared_with_a_run(workplace: Path, tmp_path: Path):
    about = {"tasks": TASK, "missingness": "complete", "objective": "clip", "out": tmp_path}
    results = cs.evaluate(Noise(), "store", name="noise", **about)
    found = cs.compare(["runs/symile-0", tmp_path / "noise"], "store", tasks=TASK)
    (row,) = found.rows
    symile = cs.evaluate("runs/symile-0", "store", tasks=TASK, missingness="complete")
    difference = symile.primary.rows[0].value - results.primary.rows[0].value
    assert row.difference == pytest.approx(difference)
    again = cs.evaluate(Noise(), "store", name="noise", **about)
    assert again.rows == results.rows


def test_an_object_that_is_no_model_is_refused(workplace: Path):
    with pytest.raises(cs.DefinitionError, match="has no method embed, predict_proba or score"):
        cs.evaluate(object(), "store", tasks=TASK)


def test_without_an_objective_inner_products_score_candidates(workplace: Path):
    found, expected = (
        cs.evaluate(Noise(), "store", tasks=TASK, missingness="complete", objective=objective)
        for objective in (None, "clip")
    )
    assert found.rows == expected.rows


def test_a_model_that_predicts_outcomes_needs_no_embeddings(workplace: Path):
    class Half:
        def predict_proba(self, request) -> np.ndarray:
            return np.full(len(request.rows), 0.5)

    found = cs.evaluate(
        Half(), "store", tasks="classification/deterioration", missingness="complete"
    )
    (auroc,) = [row for row in found.rows if row.metric == "auroc"]
    assert auroc.value == 0.5


def test_embeddings_that_do_not_fit_the_store_are_refused_with_every_reason(workplace: Path):
    with pytest.raises(cs.DataError) as error:
        cs.evaluate(Broken(), "store", tasks=TASK, objective="clip")
    assert len(error.value.problems) == 2
    assert "marked available where the store has no measurement" in error.value.problems[0]
    assert "NaN or infinite" in error.value.problems[1]


def test_a_task_object_is_trained_and_takes_no_overrides(workplace: Path, tmp_path: Path):
    task = cs.get_task("pretraining/clip", overrides=[*TINY, "epochs=1"])
    run = cs.train(task, "store", out=tmp_path, name="object", seed=3)
    assert run.metadata["seed"] == 3
    assert len(run.history) == 1
    with pytest.raises(cs.DefinitionError, match="Give them to get_task"):
        cs.train(task, "store", out=tmp_path, overrides={"epochs": 2})


def test_only_stages_are_logged_without_a_terminal(
    workplace: Path, capsys: pytest.CaptureFixture[str]
):
    for progress in (True, False):
        cs.compare(["runs/symile-0", "runs/clip-0"], "store", tasks=TASK, progress=progress)
        shown = capsys.readouterr()
        assert shown.out == ""
        # One line where it took less than a second, else one for its beginning and its end.
        stages = {line[20:].split(":")[0] for line in shown.err.splitlines()}
        assert stages == ({"Compare"} if progress else set())


def test_an_unknown_task_is_named_with_the_nearest(workplace: Path):
    with pytest.raises(cs.DefinitionError, match=re.escape(f"did you mean '{TASK}'?")):
        cs.evaluate("runs/symile-0", "store", tasks="retrieval/cxr_given_ecg_lab")
