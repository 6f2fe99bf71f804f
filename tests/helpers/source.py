"""The package's source, parsed: modules, imports, names; and what breaks the rules of the house.

`python tests/helpers/source.py [RULE]` prints every offender.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "clinical_symile"
NAME = PACKAGE.name
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][
    0
]["layers"]
OPEN = ("errors", "files", "formatting", "hashing", "registry")
# What leads into the package: `import clinical_symile` and `python -m clinical_symile`.
DOORS = ("__init__", "__main__")
OUTSIDE = {*DOORS, "api", *OPEN}

MOST_LINES_OF_A_FUNCTION = 80
MOST_LINES_OF_A_FILE = 400
MOST_CHARACTERS_OF_A_FIRST_LINE = 100
# The beginnings of a docstring that say nothing of what is done.
QUESTIONS = ("What", "Whether", "Who", "Whom", "Whose", "How", "Where", "From", "Which")
# The beginnings of a function's docstring that name a thing instead of saying what it does.
NOUN_STARTS = (
    "A",
    "All",
    "An",
    "Each",
    "Every",
    "Of",
    "One",
    "Pairs",
    "Rows",
    "The",
    "Those",
    "Two",
)
# Words that the glossary replaces: as a word of a public name.
FORBIDDEN = {
    *("anybody", "nobody", "somebody", "whoever", "people", "persons", "person"),
    *("ask", "asked", "unasked", "tell", "told", "assess", "assessed", "mirror", "mirrored"),
    *("mend", "mended", "foreign", "others", "elsewhere", "guess", "guessing", "canary"),
    *("val", "dev", "absence", "absences", "league", "silence", "likeness", "lies", "whole"),
}
# Old names of availability: parameters, attributes and public names.
OLD_AVAILABILITY = {"chosen", "measured", "seen", "shown", "full", "counts", "filled"}
# These count things elsewhere: there they are forbidden for Booleans alone.
ALSO_NUMBERS = {"full", "counts"}

STRING = re.compile(rf"{NAME}(\.\w+)+(:\w+)?")


def _parse() -> dict[str, ast.Module]:
    """Every module by its dotted name without the package's; a package by its `__init__`."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in sorted(PACKAGE.rglob("*.py"))
        if "_catalog" not in path.parts
    }


MODULES = _parse()


@cache
def imported(tree: ast.AST) -> set[str]:
    """The full names of all modules that a module imports, and of the names from them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def at_import(tree: ast.Module) -> ast.Module:
    """The module without the bodies of its functions and what only type checkers see."""

    class Outline(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            del node

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    return Outline().visit(ast.parse(ast.unparse(tree)))


def own_modules(names: set[str]) -> set[str]:
    """Those of our modules that are among imported names."""
    short = {name.removeprefix(f"{NAME}.") for name in names if name.startswith(f"{NAME}.")}
    return {name for name in short if name in MODULES or f"{name}.__init__" in MODULES}


def test_file(module: str) -> str:
    """The test file of a module's name, below `tests/`."""
    folder, _, name = module.replace(".", "/").rpartition("/")
    return f"{folder}/test_{name}.py".removeprefix("/")


def package_of(module: str) -> str:
    return module.split(".")[0]


def strings(tree: ast.AST) -> set[str]:
    """Every `clinical_symile.module[:attribute]` that is a whole string of a module."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and STRING.fullmatch(node.value)
    }


@cache
def registry_tables() -> dict[str, dict[str, str]]:
    """The tables of `registry`: name of the table, name of the entry, `module:attribute`."""
    from clinical_symile.registry import families
    from clinical_symile.registry.base import Family

    return {
        name: dict(family.builtin)
        for name, family in vars(families).items()
        if isinstance(family, Family)
    }


@cache
def dependencies() -> dict[tuple[str, str], set[str]]:
    """Which package depends on which other, and what makes it so; open modules are left out.

    An import, a whole string that is the path of a module, a `resolve(…, TABLE)` of a table of
    the registry, and a path in a definition count alike; a definition is a package `definitions`.
    """
    tables = registry_tables()
    found: dict[tuple[str, str], set[str]] = defaultdict(set)

    def add(source: str, target: str, why: str) -> None:
        if source != target and target not in OPEN and source not in OPEN:
            found[source, target].add(why)

    for module, tree in MODULES.items():
        if module in DOORS:
            continue
        for name in own_modules(imported(tree)):
            add(package_of(module), package_of(name), f"{module} imports {name}")
        for text in strings(tree):
            target = text.removeprefix(f"{NAME}.").partition(":")[0]
            if target in MODULES or f"{target}.__init__" in MODULES:
                add(package_of(module), package_of(target), f"{module} names {text}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("resolve"):
                for word in {
                    ast.unparse(part).split(".")[-1]
                    for argument in node.args
                    for part in ast.walk(argument)
                    if isinstance(part, ast.Name | ast.Attribute)
                } & tables.keys():
                    for path in tables[word].values():
                        target = path.removeprefix(f"{NAME}.").partition(":")[0]
                        add(package_of(module), package_of(target), f"{module} resolves {word}")
    for path, text in definition_paths():
        target = text.removeprefix(f"{NAME}.").partition(":")[0]
        add("definitions", package_of(target), f"{path} names {text}")
    return dict(found)


def definition_paths() -> list[tuple[str, str]]:
    """Every path of a module of ours in a definition: (file, path)."""
    return [
        (path.relative_to(ROOT).as_posix(), match[0])
        for folder in ("cohorts", "tasks", "reports", "templates", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".toml", ".j2", ".sql", ".csv")
        for match in re.finditer(rf"{NAME}(\.\w+)+:\w+", path.read_text(encoding="utf-8"))
    ]


def public_names(module: str) -> dict[str, ast.stmt]:
    """The public functions, classes and values that a module defines at its top."""
    found: dict[str, ast.stmt] = {}
    for node in MODULES[module].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found[node.name] = node
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            for one in ast.walk(target):
                if isinstance(one, ast.Name):
                    found[one.id] = node
    return {name: node for name, node in found.items() if not name.startswith("_")}


def functions(module: str, *, nested: bool = True) -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions and methods, by qualified name; also those inside others if `nested`."""

    def inside(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield prefix + child.name, child
                if not nested:
                    continue
            name = f"{child.name}." if isinstance(child, ast.FunctionDef | ast.ClassDef) else ""
            yield from inside(child, prefix + name)

    yield from inside(MODULES[module], "")


def documented(module: str) -> Iterator[tuple[str, str]]:
    """Every public docstring: of the module, its classes, functions, public methods, constants."""

    def inside(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield prefix + node.name, ast.get_docstring(node) or ""
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body, f"{node.name}.")
            if (
                isinstance(node, ast.Assign | ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                yield prefix + ast.unparse(node).partition("=")[0].strip(), str(after.value.value)

    yield "", ast.get_docstring(MODULES[module]) or ""
    yield from inside(MODULES[module].body, "")


def words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _attributes(module: str) -> Iterator[tuple[str, str, str]]:
    """Public attributes and parameters: (qualified owner, name, annotation)."""
    for qualified, node in functions(module, nested=False):
        if any(part.startswith("_") and part != "__init__" for part in qualified.split(".")):
            continue
        arguments = node.args
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            yield qualified, one.arg, ast.unparse(one.annotation) if one.annotation else ""
        yield qualified, node.name, ast.unparse(node.returns) if node.returns else ""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield node.name, field.target.id, ast.unparse(field.annotation)
    for name in public_names(module):
        yield "", name, "Bool"


def errors_without_a_code() -> list[str]:
    """Errors that a user meets and whose `code` is missing or not in `error_codes.toml`."""
    from clinical_symile import errors

    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.ClinicalSymileError | errors.CannotScore)
    }
    kinds |= {
        node.name
        for tree in MODULES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and kinds & {ast.unparse(base) for base in node.bases}
    }
    known, found = errors.error_codes(), []
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] not in kinds:
                continue
            codes = [one.value for one in node.keywords if one.arg == "code"]
            code = codes[0].value if codes and isinstance(codes[0], ast.Constant) else None
            if code not in known:
                found.append(
                    f"{module}, line {node.lineno}: {ast.unparse(node.func)}(…) has "
                    f'{f"the unknown code {code}" if code else "no code"}; expected code="CS-…", '
                    "a kind of clinical_symile/registry/error_codes.toml. Use one that fits, or "
                    "add a line."
                )
    return found


def long_functions() -> list[str]:
    return [
        f"{module}.{name}: {node.end_lineno - node.lineno + 1} lines"
        for module in MODULES
        for name, node in functions(module)
        if node.end_lineno and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]


def long_files() -> list[str]:
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    return [f"{name}: {n} lines" for name, n in lengths.items() if n > MOST_LINES_OF_A_FILE]


def questions_in_docstrings() -> list[str]:
    return [
        f"{module}.{name}: {text.partition(chr(10))[0]}"
        for module in MODULES
        for name, text in documented(module)
        if text.split(" ")[0].rstrip(",:") in QUESTIONS
    ]


def functions_without_a_verb() -> list[str]:
    """Public functions whose docstring begins with a noun; properties are named like values."""
    return [
        f"{module}.{name}: {text.partition(chr(10))[0]}"
        for module in MODULES
        for name, node in functions(module, nested=False)
        if not any(part.startswith("_") for part in name.split("."))
        and not any("property" in ast.unparse(one) for one in node.decorator_list)
        and (text := ast.get_docstring(node) or "").split(" ")[0].rstrip(",:") in NOUN_STARTS
    ]


def _below_the_api() -> list[str]:
    """All modules but the public API's: its functions bear the names of what they call."""
    return [module for module in MODULES if package_of(module) != "api"]


def names_defined_twice() -> list[str]:
    homes = defaultdict(list)
    for module in _below_the_api():
        for name in public_names(module):
            homes[name].append(module)
    return [f"{name}: {', '.join(mods)}" for name, mods in sorted(homes.items()) if len(mods) > 1]


def functions_named_like_a_module() -> list[str]:
    homes = defaultdict(set)
    for module in MODULES:
        parts = module.removesuffix(".__init__").split(".")
        homes[parts[-1]].add(module)
    return [
        f"{module}.{name}: a module is named so: {', '.join(sorted(homes[name] - {module}))}"
        for module in _below_the_api()
        for name, node in public_names(module).items()
        if isinstance(node, ast.FunctionDef)
        and homes.get(name, set())
        and module not in homes[name]
    ]


def bad_first_lines() -> list[str]:
    found = []
    for module, tree in MODULES.items():
        first = (ast.get_docstring(tree) or "").partition("\n")[0]
        if not first:
            found.append(f"{module}: no docstring")
        elif len(first) > MOST_CHARACTERS_OF_A_FIRST_LINE:
            found.append(f"{module}: {len(first)} characters")
    return found


def forbidden_words() -> list[str]:
    return [
        f"{module}.{name}: {', '.join(sorted(words(name) & FORBIDDEN))}"
        for module in MODULES
        for name in [*public_names(module), module.split(".")[-1]]
        if words(name) & FORBIDDEN
    ]


def old_availability() -> list[str]:
    return sorted(
        {
            f"{module}: {owner}({name})"
            for module in MODULES
            for owner, name, annotation in _attributes(module)
            if name in OLD_AVAILABILITY
            and (name not in ALSO_NUMBERS or re.search(r"\b[Bb]ool\b", annotation))
        }
    )


def ranks() -> dict[str, int]:
    """The place of each package in the import rule, from the top."""
    return {name: n for n, layer in enumerate(LAYERS) for name in layer.split(" | ")}


def against_the_rule() -> list[str]:
    rank = ranks()
    return [
        why
        for (source, target), reasons in sorted(dependencies().items())
        if source in rank and target in rank and rank[source] >= rank[target]
        for why in sorted(reasons)
    ]


def siblings() -> list[str]:
    """Members of a family that import each other; the registry says who is a member."""
    families = defaultdict(set)
    for table in registry_tables().values():
        for path in table.values():
            module = path.removeprefix(f"{NAME}.").partition(":")[0]
            families[module.rpartition(".")[0]].add(module)
    return [
        f"{member} imports {other}"
        for members in families.values()
        for member in sorted(members)
        for other in sorted(own_modules(imported(MODULES[member])) & (members - {member}))
        if not other.endswith(".base")
    ]


# Calls that write a file by themselves, and modules that may: what they write lies in a folder that
# `files.rename_folder` flushes and names, or that is removed again.
_WRITES = {"write_text", "write_bytes", "to_parquet", "to_csv", "to_json", "save_file", "savefig"}
_MAY_WRITE = (
    "data.external.store",
    "data.ingest",
    "files",
    "modalities.waveform_files",
    "synthetic",
)


def writes_of_their_own() -> list[str]:
    """Files that are not written by `clinical_symile.files`, so that a power cut may halve them."""
    found = []
    for module, tree in MODULES.items():
        if any(module == name or module.startswith(f"{name}.") for name in _MAY_WRITE):
            continue
        through = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "write_file"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and id(node) not in through and _writes(node):
                found.append(f"{module}, line {node.lineno}: {ast.unparse(node)[:60]}")
    return found


def _writes(call: ast.Call) -> bool:
    """Whether a call writes to a path: `x.write_text(…)`, `open(…, "w")` and the like."""
    name = ast.unparse(call.func)
    method = name.rpartition(".")[2] if isinstance(call.func, ast.Attribute) else ""
    modes = [*call.args[:2], *(one.value for one in call.keywords if one.arg == "mode")]
    opens = name == "open" or method == "open"
    if opens:
        return any(
            isinstance(mode, ast.Constant)
            and str(mode.value)[:1] in ("w", "a", "x")
            and len(str(mode.value)) <= 3
            for mode in modes
        )
    if name == "save_file" or name in ("os.replace", "np.save", "np.savez", "shutil.move"):
        return True
    into = ast.unparse(call.args[0]) if call.args else ""
    return method in _WRITES and into not in ("", "buffer") and name != "results.to_csv"


def rows_in_a_repr() -> list[str]:
    """Dataclasses that hold rows of samples and would print them in a message or a traceback."""
    of_rows = ("DataFrame", "Series", "ndarray", "Tensor", "CohortStore")
    return [
        f"{module}.{node.name}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if "dataclass" in ast.unparse(decorator)
        and "repr=False" not in ast.unparse(decorator)
        and not any(isinstance(f, ast.FunctionDef) and f.name == "__repr__" for f in node.body)
        and any(
            any(word in ast.unparse(line.annotation) for word in of_rows)
            and "Callable" not in ast.unparse(line.annotation)
            and not (line.value and "repr=False" in ast.unparse(line.value))
            for line in node.body
            if isinstance(line, ast.AnnAssign)
        )
    ]


RULES = {
    "rows in a repr": rows_in_a_repr,
    "writes of their own": writes_of_their_own,
    "long functions": long_functions,
    "long files": long_files,
    "docstrings that ask": questions_in_docstrings,
    "functions without a verb": functions_without_a_verb,
    "names defined twice": names_defined_twice,
    "functions named like a module": functions_named_like_a_module,
    "first lines": bad_first_lines,
    "forbidden words": forbidden_words,
    "old words of availability": old_availability,
    "dependencies against the rule": against_the_rule,
    "siblings": siblings,
    "errors without a code": errors_without_a_code,
}

if __name__ == "__main__":
    for rule in sys.argv[1:] or RULES:
        offenders = RULES[rule]()
        print(f"{rule}: {len(offenders)}")
        print("".join(f"  {offender}\n" for offender in offenders))
    print(f"pairs of packages: {len(dependencies())}")
