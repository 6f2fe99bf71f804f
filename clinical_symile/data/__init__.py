"""Cohort stores: prepare, open, audit and load them, and draw masks and candidates."""
