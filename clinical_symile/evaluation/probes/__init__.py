"""Probes that predict an outcome from frozen embeddings."""
