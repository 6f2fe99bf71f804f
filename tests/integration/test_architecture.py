"""The rules of the house that import-linter cannot see; `python tests/helpers/source.py` lists
what breaks them. The order of packages is in `pyproject.toml`."""

import ast
import importlib
import subprocess
import sys

import pytest

from tests.helpers import source
from tests.helpers.source import MODULES, PACKAGE, ROOT, at_import, imported

# How many offenders of a rule are left: only ever fewer.
REMAINING: dict[str, int] = {}
MOST_PAIRS_OF_PACKAGES = 60
MOST_ENTRIES = 24

# Heavy or particular libraries, and the only packages and modules that load them.
LOADED_BY = {
    "argcomplete": {"cli.completion", "cli.main"},
    "torch": {
        "cli.doctor",
        "data.embeddings",
        "data.loader",
        "data.side_information",
        "data.training_view",
        "evaluation",
        "modalities._array_io",
        "models",
        "objectives",
        "training",
    },
    "optuna": {"benchmarking.search_space"},
    "ray": {"benchmarking.launchers.ray"},
    "submitit": {"benchmarking.launchers.slurm"},
    "triton": {"objectives.kernels._triton_kernels"},
    "mlflow": {
        "tracking._mlflow_copies",
        "tracking._mlflow_files",
        "tracking._mlflow_model",
        "tracking._mlflow_send",
        "tracking._mlflow_study",
        "tracking._mlflow_view",
        "tracking.mlflow",
    },
    "lightning_fabric": {"training"},
    "monai": {"models.encoders"},
    "torchvision": {"models.encoders"},
    "safetensors": {"evaluation.predictors.bank", "models.encoders", "training"},
    "sklearn": {
        "data.audit.leakage",
        "evaluation.baselines",
        "evaluation.diagnostics.regression",
        "evaluation.probes",
        "models.missing_modality._chained",
        "models.missing_modality.prototypes",
    },
    "timm": {"models.encoders.timm"},
    "transformers": {"models.encoders.transformers"},
    "onnxruntime": {"models.encoders.onnx"},
    "torchxrayvision": {"models.encoders.xrayvision"},
    "duckdb": {"data.ingest"},
    "ucumvert": {"modalities._ucum"},
    "lark": {"modalities._ucum"},
    "ecgdatakit": {"modalities.waveform_files"},
    "h5py": {"modalities.waveform_files"},
    "simplejpeg": {"modalities._image_damage"},
    "wfdb": {"modalities.waveform_files"},
    "pydicom": {"modalities._dicom_image", "modalities.waveform_files"},
    "matplotlib": {"reporting.figures"},
    "jinja2": {"reporting.render"},
    "rich": {"cli.console", "cli.result_tables", "cli.sample_size_tables", "tracking.progress"},
}
# Modules without a test file of their name, and the file that tests them: members of a family that
# its contract tests cover, verbs that are thin layers over the API, and schemas of definitions.
TESTED_BY = {
    "api.bundles": "cli/test_bundle.py",
    "api.cards": "cli/test_card.py",
    "api.cohorts": "api/test_runs.py",
    "api.reports": "api/test_runs.py",
    "benchmarking.finalize": "benchmarking/test_run.py",
    "data.external.training_inputs": "integration/test_external_validation.py",
    "evaluation.external_validation": "integration/test_external_validation.py",
    "data.ingest.query_lineage": "data/ingest/test_query.py",
    "data.ingest.source_tables": "data/ingest/test_tables.py",
    "data.wizard.render": "data/wizard/test_propose.py",
    "data.wizard.roles": "data/wizard/test_propose.py",
    "reporting.bundle": "cli/test_bundle.py",
    "reporting.cards.card_data": "cli/test_card.py",
    "evaluation.own_model": "evaluation/predictors/test_user_model.py",
    "modalities.waveform_files": "modalities/test_ecg.py",
    "tracking.model_files": "training/test_served_model.py",
    "training.balance": "training/balance/test_every_balance.py",
    "objectives.fusion": "objectives/fusion/test_every_fusion.py",
    "models.missing_modality": "models/missing_modality/test_every_method.py",
}
# These load them inside a function, so that importing the module costs nothing.
ONLY_WHEN_CALLED = {
    ("argcomplete", "cli.completion"),
    ("argcomplete", "cli.main"),
    ("torch", "cli.doctor"),
    ("torch", "modalities._array_io"),
    ("mlflow", "tracking._mlflow_copies"),
    ("mlflow", "tracking._mlflow_files"),
    ("mlflow", "tracking._mlflow_model"),
    ("mlflow", "tracking._mlflow_send"),
    ("mlflow", "tracking._mlflow_study"),
    ("mlflow", "tracking.mlflow"),
    ("rich", "tracking.progress"),
    ("optuna", "benchmarking.search_space"),
    ("ray", "benchmarking.launchers.ray"),
    ("submitit", "benchmarking.launchers.slurm"),
    ("wfdb", "modalities.waveform_files"),
    ("pydicom", "modalities._dicom_image"),
    ("pydicom", "modalities.waveform_files"),
}


@pytest.mark.parametrize("rule", source.RULES)
def test_the_house_has_no_more_offenders_than_it_had(rule: str):
    offenders = source.RULES[rule]()
    assert len(offenders) <= REMAINING.get(rule, 0), "\n".join(offenders)


def test_a_reader_finds_the_tests_of_a_module_by_its_name():
    tests = ROOT / "tests"
    nameless = {
        module
        for module in MODULES
        if not module.rpartition(".")[2].startswith("_")
        and not (tests / source.test_file(module)).is_file()
    }
    listed = {one for one in nameless if any(f"{one}.".startswith(f"{m}.") for m in TESTED_BY)}
    # The verbs of the command line have tests by what they do; see tests/cli.
    missing = {module for module in nameless - listed if not module.startswith("cli.")}
    assert not missing, f"no tests/{source.test_file(min(missing))}"
    for module, file in TESTED_BY.items():
        covered = {one for one in nameless if f"{one}.".startswith(f"{module}.")}
        assert covered, f"{module} has a test file of its name: take it off the list"
        assert (tests / file).is_file(), file


def test_few_pairs_of_packages_depend_on_each_other():
    pairs = source.dependencies()
    assert len(pairs) <= MOST_PAIRS_OF_PACKAGES, sorted(pairs)


def test_the_top_level_holds_packages_and_the_open_modules_alone():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "_catalog"}
    assert len(entries) <= MOST_ENTRIES, sorted(entries)
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules <= source.OUTSIDE, modules - source.OUTSIDE
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= source.ranks().keys(), packages - source.ranks().keys()


def test_every_path_of_ours_in_a_string_or_a_definition_names_something():
    paths = {text for tree in MODULES.values() for text in source.strings(tree) if ":" in text}
    paths |= {text for _, text in source.definition_paths()}
    for path in sorted(paths):
        module, _, attribute = path.partition(":")
        assert hasattr(importlib.import_module(module), attribute), path


def _loading(library: str, trees: dict[str, ast.Module]) -> set[str]:
    return {
        module
        for module, tree in trees.items()
        if any(name.split(".")[0] == library for name in imported(tree))
    }


@pytest.mark.parametrize("library", LOADED_BY)
def test_a_library_is_loaded_only_where_it_is_needed(library: str):
    users = _loading(library, MODULES)
    allowed = LOADED_BY[library]
    inside = {one: {m for m in users if f"{m}.".startswith(f"{one}.")} for one in allowed}
    assert users == set().union(*inside.values())
    assert all(inside.values()), "a package that no longer loads it is still named here"
    at_once = _loading(library, {module: at_import(MODULES[module]) for module in users})
    assert not at_once & {module for name, module in ONLY_WHEN_CALLED if name == library}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_read_or_run_on_import(module: str):
    """The top of a module holds definitions and values; nothing there reads, writes or prints."""
    if module == "__main__":
        return
    touching = {
        *("open", "read_text", "read_bytes", "glob", "iterdir", "mkdir"),
        *("print", "basicConfig", "import_module", "entry_points"),
    }
    for node in ast.walk(at_import(MODULES[module])):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            assert name not in touching, f"{module}: {ast.unparse(node)}"
        assert not isinstance(node, ast.For | ast.While | ast.With), module


def test_subpackages_re_export_nothing():
    for path in PACKAGE.glob("*/**/__init__.py"):
        assert not imported(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["train", "--help"], ["check"]])
def test_help_list_and_check_load_neither_torch_nor_mlflow(arguments: list[str]):
    # check reads definitions with models and parses queries; the others name what there is
    light = arguments != ["check"]
    more = "'duckdb', 'numpy', 'pydantic', 'jaxtyping'" if light else ""
    code = (
        "import sys\n"
        "from clinical_symile.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'mlflow', 'monai', 'sklearn', 'matplotlib', 'pandas', "
        f"{more}}}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_packages_without_models_load_neither_torch_nor_mlflow():
    packages = ["config", "data.prepare", "metrics", "missingness", "reporting", "stats"]
    modules = [
        module.removesuffix(".__init__")
        for package in [*packages, "tracking"]
        for module in MODULES
        if f"{module}.".startswith(f"{package}.")
    ]
    assert len(modules) > len(packages)
    code = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(f'clinical_symile.{module}')\n"
        "    assert not {'torch', 'mlflow'} & set(sys.modules), module\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *modules], check=True)
