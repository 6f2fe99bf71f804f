"""Confidence intervals, hypothesis tests, multiplicity and variance components."""
