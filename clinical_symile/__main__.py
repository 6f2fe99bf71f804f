"""`python -m clinical_symile` is the command `clinical-symile`."""

from clinical_symile.cli.main import main

main()
