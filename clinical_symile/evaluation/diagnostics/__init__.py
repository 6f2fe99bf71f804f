"""Diagnostics: how a model represents and uses its modalities."""
