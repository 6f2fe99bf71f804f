"""Benchmark of learning from chest X-rays, ECGs and labs together when some of them are missing.

Importing this package loads no other module; a public name loads its module at its first use.
"""

__version__ = "0.2.8"

TYPE_CHECKING = False  # true for type checkers; importing `typing` would cost more than the rest
if TYPE_CHECKING:
    from clinical_symile.api.bundles import bundle as bundle
    from clinical_symile.api.bundles import leaderboard as leaderboard
    from clinical_symile.api.cards import card as card
    from clinical_symile.api.cards import checklist as checklist
    from clinical_symile.api.cohorts import prepare as prepare
    from clinical_symile.api.definitions import get_task as get_task
    from clinical_symile.api.definitions import list_cohorts as list_cohorts
    from clinical_symile.api.definitions import list_encoders as list_encoders
    from clinical_symile.api.definitions import list_metrics as list_metrics
    from clinical_symile.api.definitions import list_objectives as list_objectives
    from clinical_symile.api.definitions import list_reports as list_reports
    from clinical_symile.api.definitions import list_tasks as list_tasks
    from clinical_symile.api.planning import sample_size as sample_size
    from clinical_symile.api.repetition import rerun as rerun
    from clinical_symile.api.reports import benchmark as benchmark
    from clinical_symile.api.reports import export as export
    from clinical_symile.api.reports import open_results as open_results
    from clinical_symile.api.reports import report as report
    from clinical_symile.api.runs import compare as compare
    from clinical_symile.api.runs import evaluate as evaluate
    from clinical_symile.api.runs import train as train
    from clinical_symile.api.sync import sync_mlflow as sync_mlflow
    from clinical_symile.api.validation import validate as validate
    from clinical_symile.api.verification import verify as verify
    from clinical_symile.benchmarking.spec import BenchmarkSpec as BenchmarkSpec
    from clinical_symile.data.embeddings import Embeddings as Embeddings
    from clinical_symile.data.masks import draw_mask as draw_mask
    from clinical_symile.data.store import CohortStore as CohortStore
    from clinical_symile.data.store import open_store as open_store
    from clinical_symile.errors import ClinicalSymileError as ClinicalSymileError
    from clinical_symile.errors import DataError as DataError
    from clinical_symile.errors import DefinitionError as DefinitionError
    from clinical_symile.metrics.confidence_interval import bootstrap_ci as bootstrap_ci
    from clinical_symile.reporting.results import Comparisons as Comparisons
    from clinical_symile.reporting.results import Results as Results
    from clinical_symile.tracking.run import Run as Run

_HOMES = {
    "BenchmarkSpec": "benchmarking.spec",
    "ClinicalSymileError": "errors",
    "CohortStore": "data.store",
    "Comparisons": "reporting.results",
    "DataError": "errors",
    "DefinitionError": "errors",
    "Embeddings": "data.embeddings",
    "Results": "reporting.results",
    "Run": "tracking.run",
    "benchmark": "api.reports",
    "bootstrap_ci": "metrics.confidence_interval",
    "bundle": "api.bundles",
    "card": "api.cards",
    "checklist": "api.cards",
    "compare": "api.runs",
    "draw_mask": "data.masks",
    "evaluate": "api.runs",
    "export": "api.reports",
    "get_task": "api.definitions",
    "leaderboard": "api.bundles",
    "list_cohorts": "api.definitions",
    "list_encoders": "api.definitions",
    "list_metrics": "api.definitions",
    "list_objectives": "api.definitions",
    "list_reports": "api.definitions",
    "list_tasks": "api.definitions",
    "open_results": "api.reports",
    "open_store": "data.store",
    "prepare": "api.cohorts",
    "report": "api.reports",
    "rerun": "api.repetition",
    "sample_size": "api.planning",
    "sync_mlflow": "api.sync",
    "train": "api.runs",
    "validate": "api.validation",
    "verify": "api.verification",
}

__all__ = [
    "BenchmarkSpec",
    "ClinicalSymileError",
    "CohortStore",
    "Comparisons",
    "DataError",
    "DefinitionError",
    "Embeddings",
    "Results",
    "Run",
    "__version__",
    "benchmark",
    "bootstrap_ci",
    "bundle",
    "card",
    "checklist",
    "compare",
    "draw_mask",
    "evaluate",
    "export",
    "get_task",
    "leaderboard",
    "list_cohorts",
    "list_encoders",
    "list_metrics",
    "list_objectives",
    "list_reports",
    "list_tasks",
    "open_results",
    "open_store",
    "prepare",
    "report",
    "rerun",
    "sample_size",
    "sync_mlflow",
    "train",
    "validate",
    "verify",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
