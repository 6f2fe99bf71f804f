"""Evaluate models, baselines and the oracle on tasks, and compare them."""
