"""Choose the objective that scores embeddings, and check that it fits them."""

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.errors import DefinitionError
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES


def check_spread(objective: Objective, embeddings: Embeddings) -> None:
    """Refuse an objective of Gaussians for embeddings without variances, and the reverse.

    Raises:
        DefinitionError: they do not go together.
    """
    if objective.spread != embeddings.spread:
        held = "log variances" if embeddings.spread else "no log variances"
        wanted = "means and log variances" if objective.spread else "means alone"
        raise DefinitionError(
            f"objective {type(objective).__name__} compares {wanted}, and the embeddings "
            f"have {held}. Choose another objective, or give `Embeddings` with spread = "
            f"{objective.spread}.",
            code="CS-F020",
        )


def objective_of_embeddings(name: str) -> Objective:
    """Return the objective that scores embeddings made elsewhere.

    Raises:
        DefinitionError: the objective is unknown, or its score has learned parts.
    """
    made = resolve(name, OBJECTIVES)
    if getattr(made, "learned_score", False):
        raise DefinitionError(
            f"objective '{name}': its score has learned parts, which embeddings do not bring. "
            "Choose another one, such as 'clip', or give a trained Objective from Python.",
            code="CS-F020",
        )
    return made()
