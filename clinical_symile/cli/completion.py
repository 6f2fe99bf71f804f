"""`clinical-symile completion`: print the script that completes commands in a shell."""

import argparse

SHELLS = ("bash", "zsh", "fish")
COMMAND = "clinical-symile"


def add_completion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")


def run_completion(options: argparse.Namespace) -> int:
    """Print the script."""
    print(completion_script(options.shell))
    return 0


def completion_script(shell: str) -> str:
    """Return the script of a shell; it asks this command for the words that fit.

    Args:
        shell: one of `SHELLS`.
    """
    from argcomplete.shell_integration import shellcode

    return shellcode([COMMAND], shell=shell)
