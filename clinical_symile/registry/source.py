"""Read what a module says of an object from its source, without importing it."""

import ast
import importlib.util
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from clinical_symile.errors import DefinitionError


@dataclass(frozen=True)
class Description:
    """The literals with which an object describes itself.

    Attributes:
        display_name: the name in reports.
        description: one sentence.
        source: the publication; empty if there is none.
        needs: what it needs besides this package, such as `a CUDA device`.
    """

    display_name: str
    description: str
    source: str = ""
    needs: tuple[str, ...] = ()


_Described = TypeVar("_Described", bound=Callable[..., Any])


def describe_as(
    *, display_name: str, description: str, source: str = "", needs: tuple[str, ...] = ()
) -> Callable[[_Described], _Described]:
    """Return a decorator that leaves a function unchanged; its arguments describe the function.

    `read_description` reads the arguments from the source, so they must be literals.

    Args:
        display_name: see `Description`.
        description: see `Description`.
        source: see `Description`.
        needs: see `Description`.
    """
    del display_name, description, source, needs
    return lambda function: function


def read_keyword_arguments(path: str, *, what: str) -> tuple[set[str], set[str]]:
    """Return the keyword-only arguments of a class or function: (all, those without a default).

    Args:
        path: `package.module:Name`.
        what: what the object is for, for messages.

    Raises:
        DefinitionError: the module cannot be found, or does not define the name.
    """
    node: ast.AST | None = find_definition(path, what=what)[0]
    if isinstance(node, ast.ClassDef):
        node = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
    if not isinstance(node, ast.FunctionDef):
        return set(), set()
    pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    defaults = {argument.arg: default for argument, default in pairs}
    return set(defaults), {key for key, default in defaults.items() if default is None}


@cache
def read_description(path: str, *, name: str, what: str) -> Description:
    """Return how an object describes itself.

    These are the literals `display_name`, `description`, `source` and `needs`: attributes of a
    class, keyword arguments of the call that makes a constant, or keyword arguments of a function's
    decorator `describe_as`. Without a description it is the first line of the docstring; without a
    display name it is the name.

    Args:
        path: `package.module:Name`.
        name: the name that definitions use.
        what: what the object is for, for messages.

    Raises:
        DefinitionError: the module cannot be found, or does not define the name.
    """
    statements = find_definition(path, what=what)
    literals = _literals(statements[0])
    return Description(
        display_name=str(literals.get("display_name", name.rpartition(":")[2])),
        description=str(literals.get("description", _first_line(statements))),
        source=str(literals.get("source", "")),
        needs=tuple(literals.get("needs", ())),
    )


def read_literal(path: str, name: str, *, what: str) -> Any:
    """Return one literal of an object, see `read_description`; None if it has none.

    Raises:
        DefinitionError: the module cannot be found, or does not define the name.
    """
    return _literals(find_definition(path, what=what)[0]).get(name)


def read_constant(path: str, *, what: str) -> Any:
    """Return the value of a constant that is a literal, without importing its module.

    Args:
        path: `package.module:NAME`.
        what: what the constant is for, for messages.

    Raises:
        DefinitionError: the module cannot be found, or does not define the name.
        ValueError: its value is not written out as a literal.
    """
    node = find_definition(path, what=what)[0]
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        with suppress(ValueError):
            return ast.literal_eval(node.value)
    raise ValueError(f"{what}: '{path}' is not a literal; expected a value that is written out.")


def find_definition(path: str, *, what: str) -> list[ast.stmt]:
    """Return the statement that defines `package.module:Name` and, if there is one, the next.

    The source is parsed, not run; a name that the module imports is followed to its home.

    Raises:
        DefinitionError: there is no such module, or it does not define the name.
    """
    module, attribute = split_path(path, what=what)
    body = _parsed(module)
    if body is None:
        raise DefinitionError(
            f"{what}: no module '{module}'; expected an importable 'package.module:Name'. "
            "Install the package that has it, or correct the name.",
            code="CS-F019",
        )
    for place, node in enumerate(body):
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if attribute in [getattr(t, "name", None) or getattr(t, "id", None) for t in targets]:
            return body[place : place + 2]
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if attribute == (alias.asname or alias.name):
                    return find_definition(f"{node.module}:{alias.name}", what=what)
    raise DefinitionError(
        f"{what}: module '{module}' defines no '{attribute}'. Correct the name.", code="CS-F019"
    )


@cache
def _parsed(module: str) -> list[ast.stmt] | None:
    """The statements of a module; None if there is no such module with Python source.

    Functions keep their signature and docstring: the rest is not read, and it is most of a tree.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for statement in body:
        for node in (statement, *getattr(statement, "body", ())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                del node.body[1:]
    return body


def _literals(node: ast.stmt) -> dict[str, Any]:
    """The literal values of a class, the call of a constant or `describe_as`, by name."""
    pairs: list[tuple[str, ast.expr | None]] = []
    if isinstance(node, ast.ClassDef):
        for line in node.body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                pairs.append((line.targets[0].id, line.value))
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                pairs.append((line.target.id, line.value))
    elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
        pairs = _keywords(node.value)
    elif isinstance(node, ast.FunctionDef):
        calls = [call for call in node.decorator_list if isinstance(call, ast.Call)]
        named = [call for call in calls if ast.unparse(call.func).endswith("describe_as")]
        pairs = [pair for call in named for pair in _keywords(call)]
    found = {}
    for name, value in pairs:
        try:
            found[name] = ast.literal_eval(value) if value is not None else None
        except ValueError:
            continue
    return found


def _keywords(call: ast.Call) -> list[tuple[str, ast.expr | None]]:
    return [(keyword.arg or "", keyword.value) for keyword in call.keywords]


def _first_line(statements: list[ast.stmt]) -> str:
    """The first line of a docstring, or of the string below a constant; empty without one."""
    node, *after = statements
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        text = ast.get_docstring(node) or ""
    else:
        value = after[0].value if after and isinstance(after[0], ast.Expr) else None
        text = str(value.value) if isinstance(value, ast.Constant) else ""
    return text.strip().partition("\n")[0]


def split_path(path: str, *, what: str) -> tuple[str, str]:
    """Return the module and the name of `package.module:Name`.

    Raises:
        DefinitionError: it has another form.
    """
    module, _, attribute = path.partition(":")
    if not module or not attribute.isidentifier():
        raise DefinitionError(
            f"{what}: '{path}'; expected 'package.module:Name'. Correct it.", code="CS-F019"
        )
    return module, attribute
