"""Show signatures with what a reader can look up: values of constants, and no private names."""

import ast
import dataclasses
import re
from typing import Any

import griffe

_AXIS = re.compile(r"""(['"]) (.*)\1""")
_LONGEST = 40  # letters of a value that fits a table


class PlainSignatures(griffe.Extension):
    """Replace names of constants by their values and private names of types by what they mean."""

    def on_function(
        self, *, func: griffe.Function, loader: griffe.GriffeLoader, **kwargs: Any
    ) -> None:
        """Change a function's annotations and defaults for the page."""
        for parameter in func.parameters:
            parameter.annotation = _plain(parameter.annotation, loader)
            variadic = parameter.kind in (
                griffe.ParameterKind.var_positional,
                griffe.ParameterKind.var_keyword,
            )
            parameter.default = None if variadic else _value(parameter.default, loader)
        func.returns = _plain(func.returns, loader)

    def on_attribute(
        self, *, attr: griffe.Attribute, loader: griffe.GriffeLoader, **kwargs: Any
    ) -> None:
        """Change an attribute's annotation for the page."""
        attr.annotation = _plain(attr.annotation, loader)


def _plain(expression: Any, loader: griffe.GriffeLoader) -> Any:
    """Return an annotation without private names and without the space that marks one axis."""
    if isinstance(expression, str):
        return _AXIS.sub(r"\1\2\1", expression)
    if isinstance(expression, griffe.ExprName) and expression.name.startswith("_"):
        meaning = _meaning(expression, loader)
        return expression if meaning is None else _plain(meaning, loader)
    if isinstance(expression, griffe.Expr):
        return dataclasses.replace(
            expression,
            **{
                field.name: _plain(getattr(expression, field.name), loader)
                for field in dataclasses.fields(expression)
                if field.init and field.name != "parent"
            },
        )
    if isinstance(expression, list):
        return [_plain(each, loader) for each in expression]
    return expression


def _value(default: Any, loader: griffe.GriffeLoader) -> Any:
    """Return the value of a constant that a default names, if it is short; else the default."""
    if not isinstance(default, griffe.ExprName):
        return default
    value = _meaning(default, loader)
    if value is None:
        return default
    try:
        ast.literal_eval(str(value))
    except (SyntaxError, ValueError):
        return default
    return value if len(str(value)) <= _LONGEST else default


def _meaning(name: griffe.ExprName, loader: griffe.GriffeLoader) -> Any:
    """Return what a name of a module was set to; None if it is not known."""
    try:
        found = loader.modules_collection.get_member(name.canonical_path)
        found = found.final_target if found.is_alias else found
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None
    return found.value if found.is_attribute else None
