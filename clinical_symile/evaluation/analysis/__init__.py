"""Analyze evaluated runs: risk, subgroups, modality contribution and ranks."""
