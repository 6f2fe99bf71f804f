"""Predictors: embeddings, baselines, the oracle and external models."""
