"""Refuse to score what a run reads through encoders that learned nothing."""

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Predictor
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.head import Head
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES


def check_trained(task: EvaluationTask, pattern: Pattern, predictor: Predictor) -> None:
    """Refuse a pattern that leaves a run no modality that its training met.

    Retrieval also needs a target that training met. A probe that is fitted under the pattern may
    read the vectors of any encoder, and the encoders of a run that started from another one may
    have been trained there: neither is refused.

    Args:
        task: the task.
        pattern: what the task's queries may use.
        predictor: the model; only a trained run is ever refused.

    Raises:
        CannotScore: training met nothing of what the pattern leaves, or not the target.
    """
    if not isinstance(predictor, EmbeddingPredictor) or predictor.encoders is None:
        return
    run = predictor.encoders.run
    is_fitted = isinstance(task, Classification) and resolve(task.probe.name, PROBES) is not Head
    if run is None or is_fitted or not isinstance(task, Classification | Retrieval):
        return
    record = run.metadata
    if "start" in record:
        return
    trained = parse_task(record["definition"], name=record["task"], where=str(run.path))
    assert isinstance(trained, Pretraining)
    met = trained.trained_modalities
    left = pattern.visible_modalities(task.input_modalities)
    if isinstance(task, Retrieval) and task.target not in met:
        left = [task.target]
    elif set(left) & {*met}:
        return
    raise CannotScore(
        f"training hid {', '.join(left)} in every sample (pattern '{trained.missingness}'); "
        f"{'their encoders' if len(left) > 1 else 'its encoder'} learned nothing. To transfer "
        "through a joint space, start the training from a run on every modality.",
        code="CS-S020",
    )
