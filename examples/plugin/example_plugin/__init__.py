"""Extend clinical-symile from a package of its own; `pyproject.toml` names what it adds."""
