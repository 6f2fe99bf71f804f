"""List every object that a definition may name, by family.

A name is a key of its family, or `package.module:Name` for an object of any other package. To add
an object of this package, add a line here; an installed package adds its own by entry points.
"""

from clinical_symile.registry.base import Family

MODALITIES = Family(
    "modality adapter",
    {
        "cxr": "clinical_symile.modalities.cxr:Cxr",
        "cxr_array": "clinical_symile.modalities.cxr_array:CxrArray",
        "ecg": "clinical_symile.modalities.ecg:Ecg",
        "ecg_array": "clinical_symile.modalities.ecg_array:EcgArray",
        "embedding": "clinical_symile.modalities.embedding:Embedding",
        "lab_events": "clinical_symile.modalities.lab_events:LabEvents",
        "labs": "clinical_symile.modalities.labs:Labs",
    },
    group="modalities",
)

ENCODERS = Family(
    "encoder",
    {
        "events": "clinical_symile.models.encoders.events:EventGru",
        "mlp": "clinical_symile.models.encoders.tabular:Mlp",
        "onnx": "clinical_symile.models.encoders.onnx:Onnx",
        "pixels": "clinical_symile.models.encoders.pixels:Pixels",
        "resnet1d": "clinical_symile.models.encoders.waveform:ResNet1d",
        "resnet18": "clinical_symile.models.encoders.image:resnet18",
        "resnet18_raster": "clinical_symile.models.encoders.waveform:ResNet18Raster",
        "resnet18_stretched": "clinical_symile.models.encoders.waveform:StretchedRaster",
        "resnet50": "clinical_symile.models.encoders.image:resnet50",
        "sets": "clinical_symile.models.encoders.sets:AnalyteSet",
        "small_cnn": "clinical_symile.models.encoders.image:SmallCnn",
        "timm": "clinical_symile.models.encoders.timm:Timm",
        "transformers": "clinical_symile.models.encoders.transformers:Transformers",
        "xrayvision": "clinical_symile.models.encoders.xrayvision:XRayVision",
    },
    group="encoders",
)

ADAPTERS = Family(
    "adapter",
    {
        "lora": "clinical_symile.models.adapters.lora:Lora",
        "ssf": "clinical_symile.models.adapters.ssf:Ssf",
    },
    group="adapters",
)

MISSING_MODALITY_METHODS = Family(
    "missing-modality method",
    {
        "adapted": "clinical_symile.models.missing_modality.adapted:ADAPTED",
        "adapted_lora": "clinical_symile.models.missing_modality.adapted:ADAPTED_LORA",
        "bank": "clinical_symile.models.missing_modality.bank:BANK",
        "complete": "clinical_symile.models.missing_modality.complete:COMPLETE",
        "disentangled": "clinical_symile.models.missing_modality.disentangled:DISENTANGLED",
        "drop": "clinical_symile.models.missing_modality.drop:DROP",
        "dropout": "clinical_symile.models.missing_modality.dropout:DROPOUT",
        "imputed": "clinical_symile.models.missing_modality.imputed:IMPUTED",
        "imputed_values": "clinical_symile.models.missing_modality.imputed_values:IMPUTED_VALUES",
        "indicator": "clinical_symile.models.missing_modality.indicator:INDICATOR",
        "learned": "clinical_symile.models.missing_modality.learned:LEARNED",
        "mean": "clinical_symile.models.missing_modality.mean:MEAN",
        "neighbours": "clinical_symile.models.missing_modality.neighbours:NEIGHBOURS",
        "predicted": "clinical_symile.models.missing_modality.predicted:PREDICTED",
        "projected": "clinical_symile.models.missing_modality.projected:PROJECTED",
        "prototypes": "clinical_symile.models.missing_modality.prototypes:PROTOTYPES",
        "proxies": "clinical_symile.models.missing_modality.proxies:PROXIES",
        "subsets": "clinical_symile.models.missing_modality.subsets:SUBSETS",
        "translated": "clinical_symile.models.missing_modality.translated:TRANSLATED",
        "zero": "clinical_symile.models.missing_modality.zero:ZERO",
    },
    group="missing_modality",
)

AUGMENTATIONS = Family(
    "augmentation",
    {
        "shift_image": "clinical_symile.models.augmentations:ShiftImage",
        "shift_signal": "clinical_symile.models.augmentations:ShiftSignal",
        "vary_image": "clinical_symile.models.augmentations:VaryImage",
        "vary_signal": "clinical_symile.models.augmentations:VarySignal",
        "vary_values": "clinical_symile.models.augmentations:VaryValues",
    },
)

OBJECTIVES = Family(
    "objective",
    {
        "auc": "clinical_symile.objectives.ranking:AucLoss",
        "balanced": "clinical_symile.objectives.balanced:BalancedClip",
        "balanced_symile": "clinical_symile.objectives.balanced:BalancedSymile",
        "cacr": "clinical_symile.objectives.cacr:Cacr",
        "clip": "clinical_symile.objectives.clip:Clip",
        "clip_lite": "clinical_symile.objectives.sigmoid:ClipLite",
        "clip_uniform": "clinical_symile.objectives.uniform:ClipUniform",
        "cmc": "clinical_symile.objectives.cmc:Cmc",
        "comm": "clinical_symile.objectives.comm:CoMm",
        "confu": "clinical_symile.objectives.confu:ConFu",
        "cwcl": "clinical_symile.objectives.weighted:Cwcl",
        "dcl": "clinical_symile.objectives.decoupled:Dcl",
        "decoupled_uniformity": "clinical_symile.objectives.uniform:DecoupledUniformity",
        "distilled": "clinical_symile.objectives.distilled:DistilledClip",
        "farcon": "clinical_symile.objectives.farcon:FarconVae",
        "focal": "clinical_symile.objectives.focal:FocalClip",
        "fuselip": "clinical_symile.objectives.fuselip:FuseLip",
        "fused_vs_third": "clinical_symile.objectives.fused:FusedVsThird",
        "gated_symile": "clinical_symile.objectives.gated:GatedSymile",
        "gram": "clinical_symile.objectives.volumes:Gram",
        "intra": "clinical_symile.objectives.intra:IntraClip",
        "isogclr": "clinical_symile.objectives.isogclr:ISogClr",
        "kernel": "clinical_symile.objectives.token_pairs:KernelMixture",
        "kernel_uniformity": "clinical_symile.objectives.uniform:KernelUniformity",
        "m3co": "clinical_symile.objectives.mixed:M3Co",
        "macl": "clinical_symile.objectives.token_pairs:Macl",
        "medclip": "clinical_symile.objectives.medclip:MedClip",
        "mlem": "clinical_symile.objectives.mlem:Mlem",
        "multi_head": "clinical_symile.objectives.heads:MultiHeadClip",
        "mv_dhel": "clinical_symile.objectives.multiview:MvDhel",
        "mv_infonce": "clinical_symile.objectives.multiview:MvInfoNce",
        "outcome": "clinical_symile.objectives.outcome:Supervised",
        "pcme": "clinical_symile.objectives.pcme:Pcme",
        "pmrl": "clinical_symile.objectives.pmrl:Pmrl",
        "poly_view": "clinical_symile.objectives.multiview:PolyView",
        "probmed": "clinical_symile.objectives.probmed:ProbMed",
        "queue": "clinical_symile.objectives.queues:QueueClip",
        "rebar": "clinical_symile.objectives.rebar:Rebar",
        "sepclr": "clinical_symile.objectives.sepclr:SepClr",
        "siglip": "clinical_symile.objectives.sigmoid:SigLip",
        "sigmoid_symile": "clinical_symile.objectives.sigmoid:SigmoidSymile",
        "sogclr": "clinical_symile.objectives.sogclr:SogClr",
        "stratified": "clinical_symile.objectives.stratified:StratifiedClip",
        "supcon": "clinical_symile.objectives.supcon:SupCon",
        "supremix": "clinical_symile.objectives.supremix:SupReMix",
        "swap": "clinical_symile.objectives.swap:SwappedClip",
        "symile": "clinical_symile.objectives.symile:Symile",
        "tokens": "clinical_symile.objectives.tokens:TokenClip",
        "triangle": "clinical_symile.objectives.volumes:Triangle",
        "x_clr": "clinical_symile.objectives.weighted:XClr",
    },
    group="objectives",
)

FUSIONS = Family(
    "fusion",
    {
        "attention": "clinical_symile.objectives.fusion.attention:AttentionFusion",
        "concat": "clinical_symile.objectives.fusion.concat:ConcatFusion",
        "experts": "clinical_symile.objectives.fusion.experts:ExpertsFusion",
        "gated": "clinical_symile.objectives.fusion.gated:GatedFusion",
        "latent_array": "clinical_symile.objectives.fusion.latent_array:LatentArrayFusion",
        "lstm": "clinical_symile.objectives.fusion.lstm:LstmFusion",
        "mean": "clinical_symile.objectives.fusion.mean:MeanFusion",
        "mixture": "clinical_symile.objectives.fusion.mixture:MixtureFusion",
        "sets": "clinical_symile.objectives.fusion.sets:TokenSetFusion",
        "shared_specific": "clinical_symile.objectives.fusion.shared_specific:SharedSpecificFusion",
        "transformer": "clinical_symile.objectives.fusion.transformer:TransformerFusion",
    },
    group="fusion",
)

BALANCES = Family(
    "balance",
    {
        "balgrad": "clinical_symile.training.balance.balgrad:BalGrad",
        "mcr": "clinical_symile.training.balance.mcr:Mcr",
        "mgda": "clinical_symile.training.balance.mgda:Mgda",
        "mlb": "clinical_symile.training.balance.mlb:MultiLossBalance",
        "ogm_ge": "clinical_symile.training.balance.ogm_ge:OgmGe",
    },
    group="balance",
)

KERNELS = Family(
    "kernel",
    {
        "fused": "clinical_symile.objectives.kernels.triton:fused_product_logsumexp",
        "tiles": "clinical_symile.objectives.kernels.tiled:product_logsumexp",
    },
)

PROBES = Family(
    "probe",
    {
        "finetune": "clinical_symile.evaluation.probes.finetune:FineTune",
        "head": "clinical_symile.evaluation.probes.head:Head",
        "logistic": "clinical_symile.evaluation.probes.logistic:Logistic",
        "neighbours": "clinical_symile.evaluation.probes.knn:NearestNeighbours",
        "prototype": "clinical_symile.evaluation.probes.prototype:Prototype",
    },
    group="probes",
)

BASELINES = Family(
    "baseline",
    {
        "availability": "clinical_symile.evaluation.baselines.mask_only:MaskOnly",
        "labs-boosting": "clinical_symile.evaluation.baselines.labs_boosting:LabsBoosting",
        "labs-logistic": "clinical_symile.evaluation.baselines.labs_logistic:LabsLogistic",
        "late-fusion": "clinical_symile.evaluation.baselines.late_fusion:LateFusion",
        "prevalence": "clinical_symile.evaluation.baselines.prevalence:Prevalence",
    },
    group="baselines",
)

DIAGNOSTICS = Family(
    "diagnostic",
    {
        "agreement": "clinical_symile.evaluation.diagnostics.agreement:Agreement",
        "conflict": "clinical_symile.evaluation.diagnostics.conflict:Conflict",
        "dominance": "clinical_symile.evaluation.diagnostics.dominance:Dominance",
        "gap": "clinical_symile.evaluation.diagnostics.gap:Gap",
        "group_shift": "clinical_symile.evaluation.diagnostics.group_shift:GroupShift",
        "harms": "clinical_symile.evaluation.diagnostics.harms:Harms",
        "health": "clinical_symile.evaluation.diagnostics.health:Health",
        "importance": "clinical_symile.evaluation.diagnostics.importance:Importance",
        "mixed_search": "clinical_symile.evaluation.diagnostics.mixed_search:MixedSearch",
        "regression": "clinical_symile.evaluation.diagnostics.regression:Regression",
        "structure": "clinical_symile.evaluation.diagnostics.structure:Structure",
        "transfer": "clinical_symile.evaluation.diagnostics.transfer:Transfer",
    },
    group="diagnostics",
)

RETRIEVAL_METRICS = Family(
    "retrieval metric",
    {
        "auc_over_scores": "clinical_symile.metrics.retrieval:AUC_OVER_SCORES",
        "auc_per_query": "clinical_symile.metrics.retrieval:AUC_PER_QUERY",
        "mean_reciprocal_rank": "clinical_symile.metrics.retrieval:MEAN_RECIPROCAL_RANK",
        "median_rank": "clinical_symile.metrics.retrieval:MEDIAN_RANK",
        "ndcg_at_10": "clinical_symile.metrics.retrieval:NDCG_AT_10",
        "recall_at_1": "clinical_symile.metrics.retrieval:RECALL_AT_1",
        "recall_at_10": "clinical_symile.metrics.retrieval:RECALL_AT_10",
        "recall_at_5": "clinical_symile.metrics.retrieval:RECALL_AT_5",
    },
    group="metrics",
    column="above",
)


CLASSIFICATION_METRICS = Family(
    "classification metric",
    {
        "auprc": "clinical_symile.metrics.classification:AUPRC",
        "aurc": "clinical_symile.metrics.selective:AURC",
        "auroc": "clinical_symile.metrics.classification:AUROC",
        "brier": "clinical_symile.metrics.classification:BRIER",
        "expected_calibration_error": (
            "clinical_symile.metrics.classification:EXPECTED_CALIBRATION_ERROR"
        ),
    },
    group="metrics",
    column="label",
)

# Metrics that may select the best epoch: computed from ranks alone or from risks, and higher where
# better.
SELECTION_METRICS = Family(
    "selection metric",
    {
        name: {**RETRIEVAL_METRICS.builtin, **CLASSIFICATION_METRICS.builtin}[name]
        for name in (
            "auprc",
            "auroc",
            "mean_reciprocal_rank",
            "recall_at_1",
            "recall_at_10",
            "recall_at_5",
        )
    },
)

METRICS = Family(
    "metric", {**RETRIEVAL_METRICS.builtin, **CLASSIFICATION_METRICS.builtin}, group="metrics"
)

SECTIONS = Family(
    "section",
    {
        "above_oracle": "clinical_symile.reporting.sections.overview:ABOVE_ORACLE",
        "calibration": "clinical_symile.reporting.sections.calibration:CALIBRATION",
        "calibration_missing": "clinical_symile.reporting.sections.reliability:CALIBRATION_MISSING",
        "classification": "clinical_symile.reporting.sections.performance:CLASSIFICATION",
        "cohort": "clinical_symile.reporting.sections.cohort:COHORT_COUNTS",
        "conformal": "clinical_symile.reporting.sections.reliability:CONFORMAL",
        "cost": "clinical_symile.reporting.sections.cost:COST",
        "decision_curve": "clinical_symile.reporting.sections.decision_curve:DECISION_CURVE",
        "degradation": "clinical_symile.reporting.sections.missingness:DEGRADATION",
        "diagnostics": "clinical_symile.reporting.sections.diagnostics:DIAGNOSTIC_RESULTS",
        "differences": "clinical_symile.reporting.sections.comparisons:DIFFERENCES",
        "findings": "clinical_symile.reporting.first_screen:FINDING_SENTENCES",
        "geometry": "clinical_symile.reporting.sections.geometry:GEOMETRY",
        "hidden": "clinical_symile.reporting.sections.overview:HIDDEN",
        "high_confidence_errors": (
            "clinical_symile.reporting.sections.reliability:HIGH_CONFIDENCE_ERRORS"
        ),
        "interpolation": "clinical_symile.reporting.sections.interpolation:INTERPOLATION",
        "interpolation_findings": "clinical_symile.reporting.first_screen:INTERPOLATION_FINDINGS",
        "mask_predictability": (
            "clinical_symile.reporting.sections.mask_predictability:MASK_PREDICTABILITY"
        ),
        "mask_statistics": "clinical_symile.reporting.sections.mask_statistics:MASK_STATISTICS",
        "method_ranking": "clinical_symile.reporting.sections.method_ranking:METHOD_RANKING",
        "methods": "clinical_symile.reporting.sections.overview:METHODS",
        "missing_query": "clinical_symile.reporting.sections.missing_query:MISSING_QUERY",
        "modality_value": "clinical_symile.reporting.sections.modality_value:MODALITY_VALUE",
        "mismatch_findings": "clinical_symile.reporting.first_screen:MISMATCH_FINDINGS",
        "modality_mismatch": (
            "clinical_symile.reporting.sections.modality_mismatch:MODALITY_MISMATCH"
        ),
        "noninferiority": "clinical_symile.reporting.sections.noninferiority:NONINFERIORITY",
        "not_scored": "clinical_symile.reporting.sections.overview:NOT_SCORED",
        "method_findings": "clinical_symile.reporting.first_screen:METHOD_FINDINGS",
        "best_method": "clinical_symile.reporting.sections.best_method:BEST_METHOD",
        "objective_findings": "clinical_symile.reporting.first_screen:OBJECTIVE_FINDINGS",
        "oracle": "clinical_symile.reporting.sections.overview:ORACLE_VALUES",
        "pairing": "clinical_symile.reporting.sections.pairing:PAIRING",
        "pairing_findings": "clinical_symile.reporting.first_screen:PAIRING_FINDINGS",
        "primary": "clinical_symile.reporting.sections.primary:PRIMARY",
        "provenance": "clinical_symile.reporting.sections.overview:PROVENANCE",
        "retained": "clinical_symile.reporting.first_screen:RETAINED",
        "retained_share": "clinical_symile.reporting.sections.missingness:RETAINED_SHARE",
        "retrieval": "clinical_symile.reporting.sections.performance:RETRIEVAL",
        "retrieval_examples": (
            "clinical_symile.reporting.sections.retrieval_examples:RETRIEVAL_EXAMPLES"
        ),
        "retrieval_missing": "clinical_symile.reporting.sections.performance:RETRIEVAL_MISSING",
        "robustness": "clinical_symile.reporting.sections.robustness:ROBUSTNESS",
        "selective": "clinical_symile.reporting.sections.reliability:SELECTIVE",
        "settings": "clinical_symile.reporting.sections.settings:SETTINGS",
        "shift": "clinical_symile.reporting.sections.marker_shift:SHIFT",
        "shift_findings": "clinical_symile.reporting.first_screen:SHIFT_FINDINGS",
        "subgroups": "clinical_symile.reporting.sections.subgroups:SUBGROUPS",
        "training": "clinical_symile.reporting.sections.training_curves:TRAINING",
        "third_order": "clinical_symile.reporting.sections.third_order:THIRD_ORDER",
        "trained_with": "clinical_symile.reporting.sections.missingness:TRAINED_WITH",
    },
)

FAMILIES: dict[str, Family] = {
    "objectives": OBJECTIVES,
    "fusion": FUSIONS,
    "balance": BALANCES,
    "missing_modality": MISSING_MODALITY_METHODS,
    "encoders": ENCODERS,
    "adapters": ADAPTERS,
    "augmentations": AUGMENTATIONS,
    "modalities": MODALITIES,
    "probes": PROBES,
    "baselines": BASELINES,
    "diagnostics": DIAGNOSTICS,
    "metrics": METRICS,
}
"""Families by the word that `list` and the entry-point groups use."""

PARTS: dict[str, Family] = {"kernels": KERNELS, "sections": SECTIONS}
"""Further families by the word that `list` uses; plug-ins cannot add to them."""
