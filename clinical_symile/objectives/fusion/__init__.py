"""Fusions: the vectors of the available modalities of a sample make one vector."""
