"""Metrics of retrieval and classification, and measures derived from them."""
