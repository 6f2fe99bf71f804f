"""Everything a definition may name, on one page.

A name stands for `module:attribute` and is imported only when it is asked for, so that definitions
can be checked without loading what they name. Anything of the form `package.module:Name` is taken
as it stands: that is how code outside this package is named.
"""

import ast
import importlib
import importlib.util
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from clinical_symile.errors import DefinitionError

MODALITIES = {
    "cxr": "clinical_symile.modalities.cxr:Cxr",
    "cxr_array": "clinical_symile.modalities.cxr_array:CxrArray",
    "ecg": "clinical_symile.modalities.ecg:Ecg",
    "ecg_array": "clinical_symile.modalities.ecg_array:EcgArray",
    "labs": "clinical_symile.modalities.labs:Labs",
}

ENCODERS = {
    "mlp": "clinical_symile.models.encoders.tabular:Mlp",
    "resnet1d": "clinical_symile.models.encoders.waveform:ResNet1d",
    "resnet18": "clinical_symile.models.encoders.image:resnet18",
    "resnet18_raster": "clinical_symile.models.encoders.waveform:ResNet18Raster",
    "resnet18_stretched": "clinical_symile.models.encoders.waveform:StretchedRaster",
    "resnet50": "clinical_symile.models.encoders.image:resnet50",
    "small_cnn": "clinical_symile.models.encoders.image:SmallCnn",
}

MISSING_MODALITY_METHODS = {
    "complete": "clinical_symile.models.missing_modality.complete:COMPLETE",
    "drop": "clinical_symile.models.missing_modality.drop:DROP",
    "dropout": "clinical_symile.models.missing_modality.dropout:DROPOUT",
    "indicator": "clinical_symile.models.missing_modality.indicator:INDICATOR",
    "learned": "clinical_symile.models.missing_modality.learned:LEARNED",
    "subsets": "clinical_symile.models.missing_modality.subsets:SUBSETS",
}

AUGMENTATIONS = {
    "shift_image": "clinical_symile.models.augmentations:ShiftImage",
    "shift_signal": "clinical_symile.models.augmentations:ShiftSignal",
}

OBJECTIVES = {
    "clip": "clinical_symile.objectives.clip:Clip",
    "symile": "clinical_symile.objectives.symile:Symile",
}

KERNELS = {
    "fused": "clinical_symile.objectives.kernels.triton:fused_product_logsumexp",
    "tiles": "clinical_symile.objectives.kernels.tiled:product_logsumexp",
}

PROBES = {
    "finetune": "clinical_symile.evaluation.probes.finetune:FineTune",
    "logistic": "clinical_symile.evaluation.probes.logistic:Logistic",
    "neighbours": "clinical_symile.evaluation.probes.knn:NearestNeighbours",
    "prototype": "clinical_symile.evaluation.probes.prototype:Prototype",
}

BASELINES = {
    "availability": "clinical_symile.evaluation.baselines.mask_only:MaskOnly",
    "labs-boosting": "clinical_symile.evaluation.baselines.labs_boosting:LabsBoosting",
    "labs-logistic": "clinical_symile.evaluation.baselines.labs_logistic:LabsLogistic",
    "late-fusion": "clinical_symile.evaluation.baselines.late_fusion:LateFusion",
    "prevalence": "clinical_symile.evaluation.baselines.prevalence:Prevalence",
}

RETRIEVAL_METRICS = {
    "auc_over_scores": "clinical_symile.metrics.retrieval:AUC_OVER_SCORES",
    "auc_per_query": "clinical_symile.metrics.retrieval:AUC_PER_QUERY",
    "mean_reciprocal_rank": "clinical_symile.metrics.retrieval:MEAN_RECIPROCAL_RANK",
    "median_rank": "clinical_symile.metrics.retrieval:MEDIAN_RANK",
    "recall_at_1": "clinical_symile.metrics.retrieval:RECALL_AT_1",
    "recall_at_10": "clinical_symile.metrics.retrieval:RECALL_AT_10",
    "recall_at_5": "clinical_symile.metrics.retrieval:RECALL_AT_5",
}

# By which the best epoch can be chosen: of ranks alone, and higher where better.
SELECTION_METRICS = {
    name: RETRIEVAL_METRICS[name]
    for name in ("mean_reciprocal_rank", "recall_at_1", "recall_at_10", "recall_at_5")
}

CLASSIFICATION_METRICS = {
    "auprc": "clinical_symile.metrics.classification:AUPRC",
    "auroc": "clinical_symile.metrics.classification:AUROC",
    "brier": "clinical_symile.metrics.classification:BRIER",
    "expected_calibration_error": (
        "clinical_symile.metrics.classification:EXPECTED_CALIBRATION_ERROR"
    ),
}


SECTIONS = {
    "above_oracle": "clinical_symile.reporting.sections.overview:ABOVE_ORACLE",
    "calibration": "clinical_symile.reporting.sections.calibration:CALIBRATION",
    "calibration_missing": "clinical_symile.reporting.sections.reliability:CALIBRATION_MISSING",
    "classification": "clinical_symile.reporting.sections.performance:CLASSIFICATION",
    "cohort": "clinical_symile.reporting.sections.cohort:COHORT_COUNTS",
    "conformal": "clinical_symile.reporting.sections.reliability:CONFORMAL",
    "decision_curve": "clinical_symile.reporting.sections.decision_curve:DECISION_CURVE",
    "degradation": "clinical_symile.reporting.sections.missingness:DEGRADATION",
    "differences": "clinical_symile.reporting.sections.comparisons:DIFFERENCES",
    "findings": "clinical_symile.reporting.sections.overview:FINDING_SENTENCES",
    "hidden": "clinical_symile.reporting.sections.overview:HIDDEN",
    "high_confidence_errors": (
        "clinical_symile.reporting.sections.reliability:HIGH_CONFIDENCE_ERRORS"
    ),
    "mask_predictability": (
        "clinical_symile.reporting.sections.mask_predictability:MASK_PREDICTABILITY"
    ),
    "method_ranking": "clinical_symile.reporting.sections.method_ranking:METHOD_RANKING",
    "methods": "clinical_symile.reporting.sections.overview:METHODS",
    "modality_value": "clinical_symile.reporting.sections.modality_value:MODALITY_VALUE",
    "noninferiority": "clinical_symile.reporting.sections.noninferiority:NONINFERIORITY",
    "not_scored": "clinical_symile.reporting.sections.overview:NOT_SCORED",
    "oracle": "clinical_symile.reporting.sections.overview:ORACLE_VALUES",
    "provenance": "clinical_symile.reporting.sections.overview:PROVENANCE",
    "retained": "clinical_symile.reporting.sections.overview:RETAINED",
    "retained_share": "clinical_symile.reporting.sections.missingness:RETAINED_SHARE",
    "retrieval": "clinical_symile.reporting.sections.performance:RETRIEVAL",
    "retrieval_examples": (
        "clinical_symile.reporting.sections.retrieval_examples:RETRIEVAL_EXAMPLES"
    ),
    "retrieval_missing": "clinical_symile.reporting.sections.performance:RETRIEVAL_MISSING",
    "subgroups": "clinical_symile.reporting.sections.subgroups:SUBGROUPS",
    "training": "clinical_symile.reporting.sections.training_curves:TRAINING",
    "trained_with": "clinical_symile.reporting.sections.missingness:TRAINED_WITH",
}


def unknown_name_message(name: str, names: Mapping[str, Any], *, what: str) -> str:
    """The sentence for a name that is not in a table, with the nearest one that is."""
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown {what} '{name}'{hint} Known: {', '.join(sorted(names))}."


def resolve(name: str, names: Mapping[str, str], *, what: str) -> Any:
    """Import what a name stands for.

    Args:
        name: a key of `names`, or `package.module:Name`.
        names: one of the tables above.
        what: what is being looked for, in the words of the error.

    Raises:
        DefinitionError: the name is unknown, or its module has no such attribute.
    """
    path = _path(name, names, what=what)
    module_name, attribute = path.split(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(
            f"{what} '{name}': {error}; expected an importable 'package.module:Name'. "
            "Install the package that has it, or correct the name."
        ) from error


def keyword_arguments_of(
    name: str, names: Mapping[str, str], *, what: str
) -> tuple[set[str], set[str]]:
    """The keyword-only arguments of what a name stands for: (all, those without a default).

    Read from the source, so nothing is imported but the packages that hold the module.

    Raises:
        DefinitionError: the name is unknown, or its source has no such class or function.
    """
    for node in _definition(name, names, what=what):
        if isinstance(node, ast.ClassDef):
            node = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
        if isinstance(node, ast.FunctionDef):
            named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            defaults = {argument.arg: default for argument, default in named}
            return set(defaults), {key for key, default in defaults.items() if default is None}
    return set(), set()


def summary_of(name: str, names: Mapping[str, str], *, what: str) -> str:
    """What a name stands for: the first line of its docstring, or of the one below a constant.

    Read from the source, as by `keyword_arguments_of`; empty where there is none.

    Raises:
        DefinitionError: the name is unknown, or its source has no such class, function or constant.
    """
    node, *after = _definition(name, names, what=what)
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        text = ast.get_docstring(node) or ""
    else:
        told = after[0].value if after and isinstance(after[0], ast.Expr) else None
        text = str(told.value) if isinstance(told, ast.Constant) else ""
    return text.strip().partition("\n")[0]


def _definition(name: str, names: Mapping[str, str], *, what: str) -> list[ast.stmt]:
    """The statement that defines what a name stands for and, behind it, the next one.

    Raises:
        DefinitionError: there is none.
    """
    path = _path(name, names, what=what)
    module_name, attribute = path.split(":")
    try:
        spec = importlib.util.find_spec(module_name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise DefinitionError(
            f"{what} '{name}': no module '{module_name}'; expected an importable "
            "'package.module:Name'. Install the package that has it, or correct the name."
        )
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for place, node in enumerate(body):
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        if attribute in [getattr(t, "name", None) or getattr(t, "id", None) for t in targets]:
            return body[place : place + 2]
    raise DefinitionError(
        f"{what} '{name}': module '{module_name}' defines no '{attribute}'. Correct the name."
    )


def _path(name: str, names: Mapping[str, str], *, what: str) -> str:
    if name in names:
        return names[name]
    if name.count(":") == 1:
        return name
    raise DefinitionError(unknown_name_message(name, names, what=what))
