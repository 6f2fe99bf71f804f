"""Propose a cohort's files from raw tables whose columns have a site's own names."""
