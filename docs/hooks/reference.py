"""Write the reference pages from the code: verbs, TOML fields, registered names, result files."""

import argparse
import ast
import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import clinical_symile
from clinical_symile.cli.parser import build_parser
from clinical_symile.cli.schema import record_schema
from clinical_symile.config.cohort_schema import CohortFile
from clinical_symile.config.report_file import ReportRequirements
from clinical_symile.config.tasks.read import KINDS
from clinical_symile.errors import CannotScore, error_codes
from clinical_symile.registry import families
from clinical_symile.registry.base import Family, describe, resolve
from clinical_symile.registry.docstrings import docstring_section, first_paragraph
from clinical_symile.registry.source import Description
from clinical_symile.reporting.record_forms import ROWS, SAME_ROWS, record_forms
from docs.hooks.methods import methods

_SECTION = re.compile(r"(?m)^(?:Args|Attributes|Examples|Raises|Returns):$")
_NAMED = re.compile(
    r"--[a-z]+(?:-[a-z]+)*(?: (?:DIR|cpu)\b)?"
    r"|\[\w+(?:\.\w+)*\]"
    r"|\b\w+\.(?:toml|parquet|jsonl?|csv|sql|safetensors)\b|\.html\b"
    r"|\b[a-z]+\.[a-z]+_[a-z]+\b|\b[a-z]+(?:_[a-z]+)+(?:\(\))?|\b[a-z]+\(\)"
    r"|\b(?:masks|sites)/|\bruns/[\w-]+"
)
_FAMILY_TITLES = {"missing_modality_methods": "Missing-modality methods"}
# An index of at most three letters; longer words after an underscore belong to a name.
_INDEX = re.compile(
    r"(?<![\w])((?:[A-Za-z]+|[\u0391-\u03a9\u03b1-\u03c9])'*)_(π\([a-z]\)|[a-z]{1,3}'*(?:,[a-z]\b)?|\d)(?![A-Za-z_])"
)
_GROUPS = {
    "_": [re.compile(r"_\{([^{}]*)\}")],
    "^": [
        re.compile(r"\^\{([^{}]*)\}"),
        re.compile(r"\^\(((?:[^()]|\([^()]*\))*)\)"),
        re.compile(r"\^(-?\d+(?:\.\d+)?|[A-Za-z]+)"),
    ],
}
_LEAVES = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any"}


def pages() -> dict[str, Callable[[], str]]:
    """Return the function that writes each generated page, by its path in the site."""
    return {
        "reference/command_line.md": command_line,
        "reference/cohort_toml.md": cohort_toml,
        "reference/task_toml.md": task_toml,
        "reference/report_toml.md": report_toml,
        "reference/names.md": names,
        "reference/methods.md": methods,
        "reference/metrics.md": metrics,
        "reference/result_files.md": result_files,
        "reference/schemas.md": schemas,
        "reference/python_api.md": python_api,
        "reference/contracts.md": contracts,
        "reference/modules.md": modules,
        "troubleshooting.md": troubleshooting,
    }


def command_line() -> str:
    """Describe every verb and option of the command line."""
    parser = build_parser()
    page = [
        "# Command line",
        parser.description or "",
        "Each verb prints its options with `--help`. "
        "A mistake in a command ends it with one sentence and status 1.",
        "## Options of every verb",
        _options(parser),
    ]
    for verb, about in verbs(parser).items():
        usage = " ".join(about.format_usage().removeprefix("usage: ").split())
        own = _options(about, but={*parser._option_string_actions})
        page += [f"## {verb}", about.description or "", f"```bash\n{usage}\n```", own]
    return "\n\n".join(page) + "\n"


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each verb."""
    return next(
        dict(action.choices)
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )


def _options(parser: argparse.ArgumentParser, but: Collection[str] = ()) -> str:
    """Describe the options and arguments of a parser, except the options that are named."""
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        if any(option in but for option in action.option_strings):
            continue
        value = action.metavar or (
            f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper()
        )
        takes_value = action.nargs != 0
        if action.option_strings:
            shown = f"`{', '.join(action.option_strings)}{f' {value}' if takes_value else ''}`"
        else:
            shown = f"`{value}`"
        rows.append((shown, _about(action)))
    return _table(("option", "meaning"), rows) if rows else "It takes nothing else."


def _about(action: argparse.Action) -> str:
    about = action.help or ""
    if action.required and action.option_strings:
        about += " (required)"
    elif (
        action.choices
        and action.default not in (None, argparse.SUPPRESS)
        and "(default: " not in about
    ):
        about += f" (default: `{action.default}`)"
    return about


def cohort_toml() -> str:
    """Describe every field of `cohort.toml`."""
    return _schema_page(
        "`cohort.toml`",
        "One file per cohort: it says where samples, recordings and outcomes are. "
        "[The guide](../guides/own_cohort.md) writes one step by step. A file may also have "
        "[presets](../../cohorts/README.md#presets), which change some of its keys.",
        [CohortFile],
    )


def task_toml() -> str:
    """Describe every field of a task's file."""
    return _schema_page(
        "Task files",
        "One TOML file per task below `tasks/`; its path is its name. There are four kinds. "
        "[The guide](../guides/tasks.md) says which task answers which question. With "
        '`extends = "NAME"` a file states only what differs from another task of its kind.',
        list(KINDS.values()),
    )


def report_toml() -> str:
    """Describe every field of what a report needs."""
    return _schema_page(
        "Report files",
        "What `benchmark` has to make before it can render a report. "
        "[The guide](../guides/reports.md) says how to write one.",
        [ReportRequirements],
    )


def _schema_page(title: str, introduction: str, roots: Sequence[type[BaseModel]]) -> str:
    tables = dict.fromkeys(model for root in roots for model in models(root))
    page = [f"# {title}", introduction]
    for model in tables:
        page += [f"## {model.__name__}", first_paragraph(model), _fields(model)]
    return "\n\n".join(page) + "\n"


def models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and the models of its fields, each before those it holds."""
    yield root
    for field in root.model_fields.values():
        for model in _models_in(field.annotation):
            yield from models(model)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _fields(model: type[BaseModel]) -> str:
    described: dict[str, str] = {}
    for base in reversed(model.__mro__):
        described |= docstring_section(base, "Attributes")
    rows = []
    for name, field in model.model_fields.items():
        if field.default is PydanticUndefined and field.default_factory is None:
            default = "required"
        else:
            default = _value(field.get_default(call_default_factory=True))
        about = field.description or described.get(name, "")
        if name == "name" and model in KINDS.values():
            default = "the path"  # a task's file has no such key
        rows.append((f"`{field.alias or name}`", about, _kind(field.annotation), default))
    return _table(("field", "meaning", "value", "default"), rows)


def _kind(annotation: Any) -> str:
    """Say which TOML value an annotation accepts."""
    if annotation in _LEAVES:
        return _LEAVES[annotation]
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"table, see [{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, types.UnionType):
        kinds = [_kind(each) for each in arguments if each is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin in (tuple, list, Sequence):
        inner = _kinds(arguments[0])
        is_any_length = Ellipsis in arguments or len(arguments) == 1
        return f"list of {inner}" if is_any_length else f"list of {len(arguments)} {inner}"
    if origin in (dict, Mapping):
        return f"table of {_kinds(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0])
    return f"`{getattr(annotation, '__name__', annotation)}`"


def _kinds(annotation: Any) -> str:
    """Say which TOML values an annotation accepts, in the plural."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_kinds, arguments)))
    one = _kind(annotation)
    if linked := re.fullmatch(r"table, see (\[.*\))", one):
        return f"tables, see {linked[1]}"
    if one.startswith(("table of ", "list of ")):
        return one.replace(" of ", "s of ", 1)
    return {"text": "texts", "any": "any values"}.get(one, one.replace("number", "numbers"))


def names() -> str:
    """Describe every registered name and the arguments it takes."""
    page = [
        "# Registered names",
        "What a definition may name. Code of your own is named as `package.module:Name` "
        "wherever a name of these tables may be given.",
    ]
    for word, family in _families().items():
        page.append(f"## {_FAMILY_TITLES.get(word) or word.capitalize()}")
        for name in sorted(family):
            registered = resolve(name, family)
            parts = [*_described(registered, describe(name, family)), _arguments(registered)]
            page.append(f'### {word}/{name} {{ data-toc-label="{name}" }}')
            page += map(_with_indices, parts) if word == "objectives" else parts
    return "\n\n".join(part for part in page if part) + "\n"


def _with_indices(text: str) -> str:
    """Show indices and exponents of formulas, such as `z_i^2`, below and above the line."""
    parts = text.split("`")
    for place in range(0, len(parts), 2):
        part = _INDEX.sub(r"\1<sub>\2</sub>", parts[place])
        for mark, tag in (("_", "sub"), ("^", "sup")):
            for pattern in _GROUPS[mark]:
                part = pattern.sub(rf"<{tag}>\1</{tag}>", part)
        parts[place] = part
    return "`".join(parts)


def _described(registered: Any, about: Description) -> Iterator[str]:
    """Yield what an object does and its source: the symbols of its arguments stand in these."""
    yield about.description
    text = inspect.getdoc(registered) or "" if _takes_arguments(registered) else ""
    _, *paragraphs = _SECTION.split(text)[0].strip().split("\n\n")
    paragraphs = [part for part in paragraphs if not part.startswith("Source: see `")]
    yield from paragraphs
    if about.source and not any(part.startswith("Source") for part in paragraphs):
        yield f"Source: {about.source}."


def _takes_arguments(registered: Any) -> bool:
    return inspect.isclass(registered) or inspect.isfunction(registered)


def _families() -> dict[str, Family]:
    """Return the registry's families but those of metrics, which have a page of their own."""
    return {
        name.lower(): family
        for name, family in vars(families).items()
        if isinstance(family, Family) and "METRICS" not in name
    }


def _arguments(registered: Any) -> str:
    if not _takes_arguments(registered):
        return ""
    parameters = inspect.signature(registered).parameters.values()
    described = docstring_section(registered, "Args")
    if inspect.isclass(registered):
        described |= docstring_section(registered.__init__, "Args")
    rows = [
        (
            f"`{each.name}`",
            described.get(each.name, ""),
            "required" if each.default is each.empty else _value(each.default),
        )
        for each in parameters
        if each.kind is each.KEYWORD_ONLY
    ]
    return _table(("argument", "meaning", "default"), rows) if rows else ""


def metrics() -> str:
    """Describe every metric."""
    page = [
        "# Metrics",
        "Ties count in expectation, so that a model with equal scores everywhere is at the "
        "chance level. [Statistics](../explanation/statistics.md) explains the intervals.",
    ]
    for title, table in (
        ("Retrieval", families.RETRIEVAL_METRICS),
        ("Classification", families.CLASSIFICATION_METRICS),
    ):
        rows = []
        for name in sorted(table):
            metric = resolve(name, table)
            rows.append(
                (
                    f"`{name}`",
                    describe(name, table).description,
                    "higher" if metric.higher_is_better else "lower",
                    f"{metric.low:g} to {metric.high:g}",
                    metric.interval,
                    "yes" if metric.chance else "no",
                )
            )
        head = ("metric", "meaning", "better", "range", "interval", "chance level")
        page += [f"## {title}", _table(head, rows)]
    return "\n\n".join(page) + "\n"


def result_files() -> str:
    """Describe every row that a run or a benchmark writes."""
    page = [
        "# Result files",
        "Results are JSON lines: one object per line, with the fields below. "
        "A number about fewer than ten people is `null`. [Schemas of records](schemas.md) has the "
        "same for programs.",
    ]
    for name in ROWS:
        form = record_forms()[name]
        others = [f"`{other}.jsonl`" for other, rows in SAME_ROWS.items() if rows == name]
        about = form.description
        if others:
            about += (
                f" {' and '.join(others)} {'has' if len(others) == 1 else 'have'} the same fields."
            )
        rows = [(f"`{field}`", form.meanings[field]) for field in form.types]
        page += [f"## {name}.jsonl", about, _table(("field", "meaning"), rows)]
    return "\n\n".join(page) + "\n"


def schemas() -> str:
    """Show the JSON Schema of each record."""
    page = [
        "# Schemas of records",
        "Each record that this package writes has a JSON Schema with a version. "
        "`clinical-symile schema KIND` prints one, `clinical-symile validate PATH` compares files "
        "with them, and the package has all as files in `schemas/`. In a file with one record per "
        "line, the schema is that of a line. The version is at the end of `$id`. Records do not "
        "repeat it: `bundle.json` states it for each kind (`forms`), and a run or benchmark states "
        "the version of the package. A form's version grows when a field is added without a "
        "default, is removed or means something else; readers and `validate` then take the "
        "previous form too. Files of versions 0.1 to today fit version 1: they lack fields with a "
        "default.",
    ]
    for form in record_forms().values():
        body = "\n".join(f"    {line}" for line in record_schema(form.name).splitlines())
        page += [
            f"## {form.name}",
            f"{form.description} Version {form.version}.",
            f'??? note "{form.name}.v{form.version}.json"\n\n    ```json\n{body}\n    ```',
        ]
    return "\n\n".join(page) + "\n"


def python_api() -> str:
    """Describe every public name of `import clinical_symile`."""
    page = [
        "# Python API",
        "Import the package as `import clinical_symile as cs`. "
        "A public name loads its module at its first use. Each function accepts paths or objects.",
        "Three types are short forms. A `PathLike` is a text or a `Path`; `Paths` are one of these "
        'or a list of them. `Settings` are fields with values: `{"epochs": 2}`, or '
        '`["epochs=2"]`.',
    ]
    public = {name: getattr(clinical_symile, name) for name in clinical_symile.__all__}
    functions = [each for each in public.values() if inspect.isfunction(each)]
    classes = [each for each in public.values() if inspect.isclass(each)]
    errors = [each for each in classes if issubclass(each, Exception)]
    homes = {
        "Functions": functions,
        "Classes": [each for each in classes if each not in errors],
        "Returned objects": sorted(_returned(functions) - {*classes}, key=lambda one: one.__name__),
        "Errors": [*errors, CannotScore],
    }
    for kind, members in homes.items():
        page += [f"## {kind}", *(f"::: {one.__module__}.{one.__qualname__}" for one in members)]
    return "\n\n".join(page) + "\n"


def _returned(functions: Iterable[Callable[..., Any]]) -> set[type]:
    """Return the classes of this package that functions return, except definitions of tasks."""
    found: set[type] = set()
    waiting = [get_type_hints(each)["return"] for each in functions]
    while waiting:
        hint = waiting.pop()
        waiting += get_args(hint)
        if inspect.isclass(hint) and hint.__module__.startswith(f"{clinical_symile.__name__}."):
            found.add(hint)
    return found - {*KINDS.values()}


def contracts() -> str:
    """Describe the contract of each family of components."""
    page = [
        "# Contracts",
        "What a component of your own must provide. [Plug-ins](../guides/plugin.md) says how to "
        "name one. Each contract is the module `base` of its family.",
    ]
    for name, _ in _modules():
        family = name.split(".")[-2]
        if name.endswith(".base") and family != "registry":  # it looks names up
            title = "Missing-modality methods" if family == "missing_modality" else family
            page += [f"## {title.replace('_', ' ').capitalize()}", _module(name)]
    return "\n\n".join(page) + "\n"


def _module(name: str) -> str:
    return f"::: {name}\n    options:\n      show_root_full_path: true"


_ERROR_GROUPS = {
    "data": "Raw files and stores",
    "definition": "Definitions",
    "run": "Runs and training",
    "model": "Models and components",
    "statistics": "Results and statistics",
    "mlflow": "MLflow",
    "command_line": "Command line",
    "warning": "Warnings",
}


_NAMED_PAGES = {
    "Checksums and permissions": "guides/checksums.md",
    "Cohorts": "../cohorts/README.md",
    "Contracts": "reference/contracts.md",
    "External models": "guides/external_model.md",
    "Missing modalities": "explanation/missingness.md",
    "Python API": "reference/python_api.md",
    "Recordings": "reference/recordings.md",
    "Reports": "../reports/README.md",
}


def troubleshooting() -> str:
    """Explain every kind of error, by its code."""
    introduction = (Path(__file__).parents[1] / "troubleshooting.md").read_text("utf-8")
    page = [introduction.rstrip(), "## All codes"]
    codes = error_codes()
    rows = [(f"[`{each}`](#{each.lower()})", codes[each].title) for each in codes]
    page.append(_table(("code", "what happened"), rows))
    letters = dict.fromkeys(code[3] for code in codes)
    for letter, title in zip(letters, _ERROR_GROUPS.values(), strict=True):
        page.append(f"## {title}")
        for code in codes.values():
            if code.code[3] == letter:
                page += [
                    f"### {code.code}",
                    f"**{code.title}**",
                    _marked(code.meaning),
                    f"*What to do:* {_marked(code.action)}",
                ]
    return "\n\n".join(page) + "\n"


def _marked(text: str) -> str:
    """Show options, tables and files of a plain sentence as code, and link the pages it names."""
    parts = text.split("`")
    parts[::2] = [_NAMED.sub(r"`\g<0>`", part) for part in parts[::2]]
    for title, path in _NAMED_PAGES.items():
        parts = "`".join(parts).replace(f"page {title}", f"page [{title}]({path})").split("`")
    return "`".join(parts)


def modules() -> str:
    """List every module with its first line."""
    page = ["# Modules", "Every public module of `clinical_symile` and what it does."]
    packages: dict[str, list[tuple[str, str]]] = {}
    for name, about in _modules():
        path = name.removeprefix("clinical_symile.")
        packages.setdefault(path.split(".")[0], []).append((f"`{path}`", about))
    for package, rows in packages.items():
        page += [f"## {package}", _table(("module", "content"), rows)]
    return "\n\n".join(page) + "\n"


def _modules() -> Iterator[tuple[str, str]]:
    """Yield the name and the first line of every public module, without importing it."""
    root = Path(clinical_symile.__file__).parent
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        if parts[-1].startswith("_") or "_catalog" in parts:
            continue
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield ".".join(parts), about.partition("\n")[0]


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if value in ((), [], {}, ""):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{value}`" if not isinstance(value, str) else f'`"{value}"`'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])
