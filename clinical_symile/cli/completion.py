"""`clinical-symile completion`: print the script that completes commands in a shell."""

import argparse

from clinical_symile.registry.extras import missing_extra

SHELLS = ("bash", "zsh", "fish")
COMMAND = "clinical-symile"


def add_completion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="your shell")


def run_completion(options: argparse.Namespace) -> int:
    """Print the script."""
    print(completion_script(options.shell))
    return 0


def completion_script(shell: str) -> str:
    """Return the script of a shell; it asks this command for the words that fit.

    Args:
        shell: one of `SHELLS`.

    Raises:
        MissingExtraError: the extra `completion` is not installed.
    """
    try:
        from argcomplete.shell_integration import shellcode
    except ModuleNotFoundError as error:
        raise missing_extra(error, what="completion in a shell") from error
    return shellcode([COMMAND], shell=shell)
