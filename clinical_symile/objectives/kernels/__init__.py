"""Kernels that compute log-sum-exps over all combinations of rows."""
