"""Public Python functions of the package; each takes paths or objects and returns objects."""
