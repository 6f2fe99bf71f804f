"""Exact losses over all combinations, tile by tile."""
