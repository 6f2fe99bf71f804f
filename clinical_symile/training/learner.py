"""`Learner`: a model and its objective, trained and saved together."""

import copy
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from safetensors import SafetensorError
from torch import Tensor, nn

from clinical_symile.config.component import WEIGHTS
from clinical_symile.config.tasks.encoders import EncoderConfig, encoder_needs_weights
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.data.store import InputSource
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.models.augmentations import Augmentation
from clinical_symile.models.gradient_cache import frozen_running_statistics
from clinical_symile.models.missing_modality.base import FillingHandler, missing_modality_method
from clinical_symile.models.multimodal import MultimodalEncoder, build_model
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.distributed import Group, gather_embeddings
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.label_predictor import LabelPredictor
from clinical_symile.objectives.loss import Loss
from clinical_symile.objectives.replacements import TargetedObjective
from clinical_symile.objectives.views import View
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import AUGMENTATIONS, OBJECTIVES
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights

TOTAL = "loss"  # the name of a loss; those of its terms follow after a slash
SCORE = "score"  # of a modality alone
_MODEL = "model."  # names of the encoders' weights begin so
_SEED_OF_VIEWS = 2**33  # added to a batch's seed; augmentations have 2**32


class Learner(nn.Module):
    """A model and its objective, whose weights are saved in `model.safetensors`.

    Args:
        model: makes embeddings of a batch.
        objective: computes a loss of embeddings, and a matching score.
        unmeasured: see `Batch`.
    """

    def __init__(
        self,
        model: MultimodalEncoder,
        objective: Objective,
        *,
        unmeasured: Mapping[str, Tensor] | None = None,
    ):
        super().__init__()
        self.unmeasured = dict(unmeasured or {})
        self.model = model
        self.objective = objective
        self.teacher: MultimodalEncoder | None = None
        self.keeps_parts = False

    def forward(
        self,
        batch: Mapping[str, Any],
        side: Mapping[str, Any],
        generator: torch.Generator,
        fabric: Fabric,
        progress: float,
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss of a batch over all processes, in float32 at least.

        Returns the total as `loss`, and each of its terms as `loss/` and a name, without gradient
        unless `keeps_parts`. The scores of single modalities follow as `score/` and a name.

        Args:
            batch: the fields of a `Batch`; Fabric converts tensors in a mapping, not in a frozen
                dataclass.
            side: the fields of the batch's `SideInformation`; encoders do not read it.
            generator: draws the objective's negatives. Its seed is also used for what encoders
                draw, such as dropout, and for what the objective draws for its views.
            fabric: the processes.
            progress: 0 at the first step of the training, 1 at the last.
        """
        device, rank = batch["available"].device, fabric.global_rank
        drawn = torch.Generator().manual_seed(generator.initial_seed() + _SEED_OF_VIEWS + rank)
        absent = {name: value.to(device) for name, value in self.unmeasured.items()}
        whole = replace(Batch(**batch), unmeasured=absent)
        views = self.objective.views(whole, generator=drawn, progress=progress)
        teacher = self._taught(views[0].batch)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(generator.initial_seed() + 1 + rank)
            encoded = [view.encoded(self._encode(view)) for view in views]
        group = processes(fabric)
        with torch.autocast(device.type, enabled=False):
            inputs = ObjectiveInput(
                encoded[0].embeddings,
                SideInformation(**side),
                tuple(encoded[1:]),
                progress,
                teacher,
            )
            loss = self.objective.training_loss(inputs, group=group, generator=generator)
            loss = self._with_terms_of_filling(loss, encoded[0].embeddings, group)
        terms = loss.parts if self.keeps_parts else loss.terms
        return {
            TOTAL: loss.total,
            **{f"{TOTAL}/{name}": value for name, value in terms.items()},
            **{f"{SCORE}/{name}": value for name, value in loss.scores.items()},
        }

    def _with_terms_of_filling(self, loss: Loss, share: Embeddings, group: Group) -> Loss:
        """Add the losses of what replaces missing modalities, over the whole batch."""
        handler = self.model.missing_modality
        if not isinstance(handler, FillingHandler):
            return loss
        whole = gather_embeddings(share, group)
        hidden = whole.with_visible(torch.ones_like(whole.available)).readable
        terms = handler.extra_losses(hidden, whole.available, list(self.model.norms.values()))
        if not terms:
            return loss
        total = loss.total + sum(terms.values())
        added = {f"missing_{name}": value for name, value in terms.items()}
        whole = {"objective": loss.total}
        return replace(
            loss,
            total=total,
            parts={**(loss.parts or whole), **added},
            terms={k: v.detach() for k, v in {**(loss.terms or whole), **added}.items()},
        )

    def _encode(self, view: View) -> Embeddings:
        """Embed a view, without keeping activations where it needs no gradient."""
        kept = nullcontext() if view.updates_statistics else frozen_running_statistics(self.model)
        with kept, torch.set_grad_enabled(view.needs_gradient and torch.is_grad_enabled()):
            return _in_float32(self.model(view.batch))

    def start_teacher(self) -> None:
        """Make the teacher of an objective that has one: a copy of the encoders, for training only.

        It is saved with a checkpoint and not with the run's weights.
        """
        if self.objective.momentum is not None:
            self.teacher = copy.deepcopy(self.model).requires_grad_(False)

    def after_step(self) -> None:
        """Update the objective's state and let the teacher follow the encoders."""
        self.objective.after_step()
        if self.teacher is None:
            return
        assert self.objective.momentum is not None
        pairs = zip(self.teacher.parameters(), self.model.parameters(), strict=True)
        with torch.no_grad():
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - self.objective.momentum)

    @torch.no_grad()
    def _taught(self, batch: Batch) -> Embeddings | None:
        """Embed a batch with the teacher, in evaluation mode; None if there is none.

        Its running statistics are those of the encoders before the step, which all processes share.
        """
        if self.teacher is None:
            return None
        pairs = zip(self.teacher.buffers(), self.model.buffers(), strict=True)
        for slow, fast in pairs:
            slow.copy_(fast)
        return _in_float32(self.teacher.eval()(batch))


def build_learner(task: Pretraining, store: InputSource, *, seed: int) -> Learner:
    """Build a learner with new weights.

    Raises:
        DefinitionError: the store lacks a modality, or the objective or an encoder does not accept
            the arguments of the task.
    """
    missing = [name for name in task.modalities if name not in store.modalities]
    if missing:
        raise DefinitionError(
            f"task '{task.name}': modalities {', '.join(missing)} are not in the store of cohort "
            f"'{store.cohort}', which has {', '.join(store.modalities)}. Choose another task.",
            code="CS-F021",
        )
    objective = resolve(task.objective.name, OBJECTIVES)
    method = missing_modality_method(task.missing_modality)
    try:
        make = partial(objective, **task.objective.arguments)
        made = method.wrap_objective(make, len(task.modalities))
        made.label_names = task.side.labels if task.side is not None else ()
        made.connect(
            modalities=tuple(task.modalities),
            dim=task.dim,
            norm=task.norm,
            generator=torch.Generator().manual_seed(seed),
        )
        queries = made.token_queries if isinstance(made, LabelPredictor) else None
        model = build_model(task, store, seed=seed, spread=made.spread, token_queries=queries)
        if model.fill is not None and made.retrieves and not isinstance(made, TargetedObjective):
            raise ValueError(
                f"missing_modality '{task.missing_modality}' makes replacements for each target, "
                "and this loss has no part of one target; expected symile, gated_symile, clip or "
                'outcome. Choose one of these, or missing_modality = "learned".'
            )
        if model.encodes_by_set:
            made.requires_grad_(False)
        found = {name: store.unmeasured(name) for name in task.modalities}
        unmeasured = {k: torch.from_numpy(v) for k, v in found.items() if v is not None}
        return Learner(model, made, unmeasured=unmeasured)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"task '{task.name}': objective: {error}", code="CS-F020") from error


def processes(fabric: Fabric) -> Group:
    """Return the processes that share a batch; None for one."""
    return None if fabric.world_size == 1 else torch.distributed.group.WORLD


def build_augmentations(task: Pretraining) -> dict[str, Augmentation]:
    """Build the augmentation of each modality that has one.

    Raises:
        DefinitionError: an augmentation does not accept the arguments of the task.
    """
    made = {}
    for name, named in task.augment.items():
        try:
            made[name] = resolve(named.name, AUGMENTATIONS)(**named.arguments)
        except (TypeError, ValueError) as error:
            raise DefinitionError(
                f"task '{task.name}': augment.{name}: {error}", code="CS-F020"
            ) from error
    return made


def with_kept_weights(task: Pretraining, kept: Mapping[str, Tensor]) -> Pretraining:
    """Return a task whose encoders read no file: they are built from what a run kept of them.

    Encoders begin with random weights. Those that are nothing without their file, such as an ONNX
    graph, find what they need among the tensors.

    Args:
        task: the task of the run.
        kept: the run's weights, by names that begin with `encoders.` and the modality.
    """
    encoders = {}
    for name, encoder in task.encoders.items():
        extra = {k: v for k, v in encoder.arguments.items() if k != WEIGHTS}
        if encoder_needs_weights(encoder.name):
            prefix = f"encoders.{name}."
            if encoder.frozen or encoder.adapter is not None:
                prefix += "encoder."
            own = {key: kept[key] for key in kept if key.startswith(prefix)}
            extra[WEIGHTS] = {key.removeprefix(prefix): value for key, value in own.items()}
        fields = {key: getattr(encoder, key) for key in ("name", "frozen", "adapter")}
        encoders[name] = EncoderConfig.model_construct(**fields, **extra)
    return task.model_copy(update={"encoders": encoders})


def load_learner(run: Run, task: Pretraining, store: InputSource) -> Learner:
    """Load the learner of a run; the files of its encoders' initial weights are not needed.

    Raises:
        DataError: the run's weights cannot be read, or do not fit its task.
    """
    try:
        weights = load_weights(run)
        of_model = {k.removeprefix(_MODEL): v for k, v in weights.items() if k.startswith(_MODEL)}
        learner = build_learner(with_kept_weights(task, of_model), store, seed=0)
        learner.load_state_dict(weights)
    except (SafetensorError, RuntimeError, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{run.weights}: cannot be read as this run's weights ({type(error).__name__}). "
            "Remove the run's folder and train again.",
            code="CS-R004",
        ) from error
    return learner.eval()


def _in_float32(embeddings: Embeddings) -> Embeddings:
    """Convert embeddings to float32 if they have a lower precision."""
    dtype = torch.promote_types(embeddings.z.dtype, torch.float32)
    substitute = embeddings.substitute
    return replace(
        embeddings,
        z=embeddings.z.to(dtype),
        substitute=None if substitute is None else substitute.to(dtype),
    )
