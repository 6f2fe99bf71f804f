"""Baselines that are scored beside every trained model."""
