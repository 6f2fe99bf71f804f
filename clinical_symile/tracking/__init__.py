"""Runs, results and their MLflow copies."""
