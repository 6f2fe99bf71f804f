"""Who may import whom. The tables here are the architecture; the imports are read, not run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "clinical_symile"
# What the members of a family share: its contract, and how files are opened.
FAMILIES = {
    "encoders": {"encoders.sizes"},
    "metrics": {"metrics.metric"},
    "modalities": {
        "modalities.grey",
        "modalities.modality",
        "modalities.panel",
        "modalities.picture",
        "modalities.recorded_array",
        "modalities.waveform",
    },
    "objectives": {"objectives.objective"},
    "baselines": {"baselines.baseline"},
    "probes": {"probes.probe"},
}

# A module may import those of the layers above its own in this list, and its family's contract.
LAYERS = (
    {"significance", "multiplicity", "margins", "seeds", "league", "health", "machine"},
    {"rows", "journal"},
    {"calibration", "net_benefit", "conformal", "confidence", "modality_value"},
    {"canvas"},
    {
        "errors",
        "wording",
        "figures",
        "drawings",
        "intervals",
        "mechanisms",
        "synthetic_world",
        "synthetic_ecg",
    },
    {"units", "workers", "disclosure", "choices"},
    {"measured"},
    {"names", "missingness", "results", "modalities", "metrics", "embeddings", "encoders", "parts"},
    {"sides"},
    {"subgroups", "measures", "cube", "processes", "foreign", "lightning_file", "augmentations"},
    {"negatives", "fused_kernels"},
    {"fused"},
    {
        "catalog",
        "named",
        "settings",
        "run",
        "scores",
        "objectives",
        "synthetic_labs",
        "synthetic_xray",
    },
    {"presets", "init_cohort", "cohort_file", "sent"},
    {"cohort", "task", "absence", "template", "gallery", "findings", "panels", "synthetic_tables"},
    {"measure_panels", "method_panels", "margin_panels", "risk_panels", "tables", "headers"},
    {"splits"},
    {"columns"},
    {"query"},
    {
        "store",
        "decode",
        "samples",
        "published",
        "layouts",
        "tracking",
        "differences",
        "absence_panels",
        "synthetic",
    },
    {"questions", "schedule", "foreign_store", "regression", "measurements", "store_tables"},
    {
        "manifest",
        "candidates",
        "batch",
        "oracle",
        "report",
        "severity",
    },
    {"masks", "feed"},
    {"prepare", "asked", "model", "dependence", "made_with"},
    {"source", "card", "croissant", "report_data", "learner", "supervised"},
    {"probes"},
    {"labels"},
    {"scorer", "baselines"},
    {"foreign_scorer", "foreign_scores", "baseline_scorer"},
    {"ranking", "separation"},
    {"likeness", "leaks"},
    {"audit"},
    {"evaluate", "checkpoint", "terminal", "tuning"},
    {"compare", "scored", "cost"},
    {"assess_groups", "assess_masks", "assess_methods", "assess_modalities", "assess_risks"},
    {"assess"},
    {"train", "import_checkpoint"},
    {"evaluate_runs"},
    {"conclude"},
    {"benchmark"},
    {"include"},
    {"canary_people"},
    {"canary_parts"},
    {"listing", "check", "canary", "doctor", "arguments"},
    {"cli"},
    {"__main__"},
)

# Heavy or particular libraries, and the only modules that load them.
LOADED_BY = {
    "torch": {
        "absence",
        "augmentations",
        "feed",
        "fused",
        "batch",
        "canary_parts",
        "canary_people",
        "checkpoint",
        "cost",
        "cube",
        "embeddings",
        "encoders",
        "foreign_scorer",
        "import_checkpoint",
        "learner",
        "lightning_file",
        "modalities",
        "model",
        "negatives",
        "objectives",
        "parts",
        "processes",
        "schedule",
        "scorer",
        "sides",
        "supervised",
        "train",
        "tuning",
        "doctor",
    },
    "triton": {"fused_kernels"},
    "mlflow": {"tracking"},
    "lightning_fabric": {"learner", "train"},
    "monai": {"encoders"},
    "torchvision": {"encoders"},
    "safetensors": {"checkpoint", "encoders", "learner"},
    "sklearn": {"baselines", "leaks", "probes", "regression"},
    "duckdb": {"tables", "query", "columns", "samples"},
    "ucumvert": {"units"},
    "lark": {"units"},
    "wfdb": {"modalities"},
    "pydicom": {"modalities"},
    "matplotlib": {"canvas", "drawings", "figures"},
    "jinja2": {"report"},
    "rich": {"terminal"},
}
# These load them inside a function: whoever imports the module pays nothing.
ONLY_WHEN_CALLED = {("torch", "doctor"), ("torch", "modalities"), ("mlflow", "tracking")}


def _modules() -> dict[str, ast.Module]:
    """Every module by its name without the package's, parsed."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    }


MODULES = _modules()


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
    return names


def _at_import(tree: ast.Module) -> ast.Module:
    """The module without the bodies of its functions and what only type checkers see."""

    class Outline(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            del node

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    return Outline().visit(ast.parse(ast.unparse(tree)))


def _ours(tree: ast.AST) -> set[str]:
    prefix = "clinical_symile."
    return {name.removeprefix(prefix) for name in _imported(tree) if name.startswith(prefix)}


def _layer(module: str) -> int:
    unit = module.split(".")[0]
    found = [number for number, layer in enumerate(LAYERS) if unit in layer]
    assert len(found) == 1, f"{module} must stand in one layer of this test"
    return found[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_the_layers_above_it_only(module: str):
    family = module.split(".")[0] if "." in module else None
    for other in _ours(MODULES[module]):
        if family and other in FAMILIES[family]:
            continue
        assert _layer(other) < _layer(module), f"{module} imports {other}"


def test_members_of_a_family_never_import_each_other():
    for module, tree in MODULES.items():
        family = module.split(".")[0]
        if "." in module:
            siblings = {name for name in _ours(tree) if name.startswith(f"{family}.")}
            assert siblings <= FAMILIES[family], module


def test_the_layers_name_no_module_that_is_gone():
    assert set().union(*LAYERS) == {module.split(".")[0] for module in MODULES}


@pytest.mark.parametrize("library", LOADED_BY)
def test_a_library_is_loaded_by_those_who_need_it_only(library: str):
    users, at_once = set(), set()
    for module, tree in MODULES.items():
        unit = module.split(".")[0]
        if any(name.split(".")[0] == library for name in _imported(tree)):
            users.add(unit)
        if any(name.split(".")[0] == library for name in _imported(_at_import(tree))):
            at_once.add(unit)
    assert users == LOADED_BY[library]
    assert not at_once & {unit for name, unit in ONLY_WHEN_CALLED if name == library}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_read_or_run_on_import(module: str):
    """At the top of a module stand definitions and values; nothing there touches the world."""
    if module == "__main__":
        return
    touching = {
        "open",
        "read_text",
        "read_bytes",
        "glob",
        "iterdir",
        "mkdir",
        "print",
        "basicConfig",
    }
    for node in ast.walk(_at_import(MODULES[module])):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            assert name not in touching, f"{module}: {ast.unparse(node)}"
        assert not isinstance(node, ast.For | ast.While | ast.With), module


def test_packages_re_export_nothing():
    for path in PACKAGE.rglob("__init__.py"):
        assert not _imported(ast.parse(path.read_text())), path


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["train", "--help"], ["check"]])
def test_help_list_and_check_load_neither_torch_nor_mlflow(arguments: list[str]):
    parser = "'duckdb'" if arguments != ["check"] else ""  # which check parses queries with
    code = (
        "import sys\n"
        "from clinical_symile.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'mlflow', 'monai', 'sklearn', 'matplotlib', 'pandas', "
        f"{parser}}}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("module", ["source", "report_data", "tracking", "terminal", "oracle"])
def test_preparing_reporting_and_tracking_load_no_torch(module: str):
    code = (
        f"import sys, clinical_symile.{module}; assert not {{'torch', 'mlflow'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
