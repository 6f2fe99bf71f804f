"""Render a report: one HTML file that needs nothing else to be read."""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from clinical_symile import formatting
from clinical_symile.config.catalog import REPORT_FILE, builtin_catalog_directory
from clinical_symile.config.report_file import read_requirements
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.files import write_text
from clinical_symile.registry.base import resolve, unknown_name_message
from clinical_symile.registry.families import SECTIONS
from clinical_symile.reporting.figures.picture import series_symbol, series_variable
from clinical_symile.reporting.report_data import ReportData, data_names
from clinical_symile.reporting.text import labels

_DEFAULT_TEMPLATE = "shared/page.j2"


@dataclass(frozen=True)
class DrawnSection:
    """A section with its content, as templates read it.

    Attributes:
        name: of the section.
        template: the template of this section.
        content: its `sections.base.Content`.
    """

    name: str
    template: str
    content: Any


def render(report: Path, *, data: ReportData, out: Path) -> None:
    """Write a report; the file appears only when it is complete.

    The same data give the same bytes.

    Args:
        report: a `report.toml`; until 0.3.0 also a template of version 0.1.
        data: what the report is made from.
        out: the HTML file.

    Raises:
        DefinitionError: the report names an unknown section, or its template cannot be rendered.
        DataError: there are no results.
    """
    if not data.results and not data.unscored:
        raise DataError(f"{out}: no results to report. Train and evaluate first.", code="CS-R011")
    required = read_requirements(report)
    if report.name != REPORT_FILE:
        from clinical_symile.reporting._legacy_context import legacy_context  # loads matplotlib

        render_page(report, context=legacy_context(data), out=out)
        return
    template = report.with_name("template.html.j2")
    context = {
        "report": required,
        "cohort": data.cohort,
        "synthetic": data.synthetic,
        "sections": draw_sections(required.sections, data, where=str(report)),
    }
    render_page(template if template.is_file() else None, context=context, out=out)


def draw_sections(
    names: Sequence[str], data: ReportData, *, where: str = "report"
) -> list[DrawnSection]:
    """Draw those of the named sections that have something to show.

    Args:
        names: of registered sections, or `package.module:NAME`.
        data: what sections are made from.
        where: begins error messages.

    Raises:
        DefinitionError: a section is unknown, or needs something that `ReportData` does not have.
    """
    drawn, known, used = [], data_names(), Counter()
    for name in names:
        section = resolve(name, SECTIONS)
        for need in section.needs:
            if need not in known:
                raise DefinitionError(
                    f"{where}: section '{name}': "
                    + unknown_name_message(need, dict.fromkeys(known), what="input"),
                    code="CS-F022",
                )
        content = section.draw(**{need: data.section_input(need) for need in section.needs})
        if content is not None:
            panels = [_with_unique_name(panel, used) for panel in content.panels]
            more = [_with_unique_name(panel, used) for panel in content.more]
            content = replace(content, panels=panels, more=more)
            drawn.append(DrawnSection(section.name, section.template, content))
    return drawn


# What the expressions of a template raise, and a template that is not UTF-8.
_TEMPLATE_ERRORS = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


def render_page(template: Path | None, *, context: Mapping[str, Any], out: Path) -> None:
    """Write a page; the file appears only when it is complete.

    Args:
        template: the page's template; None for the default one.
        context: the variables of the template.
        out: the HTML file.

    Raises:
        DefinitionError: the template does not parse, or uses an unknown variable.
    """
    folders = [] if template is None else [template.parent]
    name = _DEFAULT_TEMPLATE if template is None else template.name
    try:
        text = _environment(folders).get_template(name).render(context)
    except (jinja2.TemplateError, *_TEMPLATE_ERRORS) as error:
        line = getattr(error, "lineno", None)
        where = f"{template or name}, line {line}" if line else str(template or name)
        kind = "" if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: "
        raise DefinitionError(
            f"{where}: {kind}{error}. reports/README.md lists the variables of a template.",
            code="CS-F022",
        ) from error
    write_text(out, text)


def _with_unique_name(panel: Any, used: Counter[str]) -> Any:
    if panel.picture is None:
        return panel
    name = panel.picture.name
    used[name] += 1
    if used[name] == 1:
        return panel
    return replace(panel, picture=replace(panel.picture, name=f"{name}-{used[name]}"))


def figure_count(number: int) -> str:
    """Return the words of a folded section: `3 figures with their numbers`."""
    return "Details" if number < 1 else f"{number} figure{'s' * (number > 1)} with the numbers"


def _count(n: int | str) -> str:
    """Format a count; one in words stays as it is."""
    return n if isinstance(n, str) else formatting.format_count(n)


def _environment(folders: Sequence[Path]) -> jinja2.Environment:
    script = (builtin_catalog_directory() / "reports/shared/page.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    environment = SandboxedEnvironment(  # a stranger's template runs no code of Python
        loader=jinja2.FileSystemLoader([*folders, builtin_catalog_directory() / "reports"]),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "absence": labels.missing_modality_label,  # its name until 0.3.0
        "colour": series_variable,
        "count": _count,
        "figures": figure_count,
        "duration": formatting.format_duration,
        "listed": formatting.join_words,
        "meaning": labels.metric_description,
        "metric": labels.metric_label,
        "missing_modality": labels.missing_modality_label,
        "modality": labels.modality_label,
        "pattern": labels.pattern_label,
        "symbol": series_symbol,
    }
    # Browsers run this script alone: the page's policy names its digest.
    environment.globals |= {
        "page_script": Markup(script),
        "page_script_digest": base64.b64encode(digest).decode(),
    }
    return environment
