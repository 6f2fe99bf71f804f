"""Say which optional part of this package is not installed, and how to install it."""

import re

from clinical_symile.errors import ClinicalSymileError

DISTRIBUTION = "clinical-symile"


class MissingExtraError(ClinicalSymileError):
    """A package that an optional part needs is not installed; the user can install it."""


def extra_of(package: str) -> str | None:
    """Return the extra of this package that installs another; None if no extra does.

    Args:
        package: the other, as it is imported or installed.
    """
    # Half of what `--help` would load, and few runs lack a package.
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # run from a folder that was never installed
        return None
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and extra and _normalized(name[0]) == _normalized(package):
            return extra[1]
    return None


def missing_extra(error: ModuleNotFoundError, *, what: str) -> MissingExtraError:
    """Return the error for a package that could not be imported.

    Args:
        error: the failed import.
        what: what needs the package, at the beginning of the message.
    """
    package = (error.name or "").partition(".")[0]
    extra = extra_of(package)
    if extra is None:
        expected, install = "it beside clinical-symile", package
    else:
        expected, install = f"the extra '{extra}'", f"'{DISTRIBUTION}[{extra}]'"
    return MissingExtraError(
        f"{what} needs the package '{package}', which is not installed; expected {expected}. "
        f"Run `pip install {install}`.",
        code="CS-U004",
    )


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
