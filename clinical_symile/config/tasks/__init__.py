"""Definitions of pretraining, retrieval and classification tasks."""
