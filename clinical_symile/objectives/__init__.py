"""Contrastive objectives on one contract."""
