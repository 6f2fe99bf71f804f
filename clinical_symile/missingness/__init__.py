"""Missingness patterns and the mechanisms that draw them."""
