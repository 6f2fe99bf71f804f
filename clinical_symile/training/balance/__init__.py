"""Balances: combine the gradients of a step so that no modality is learned alone."""
