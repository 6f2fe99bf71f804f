"""Render reports and cohort cards."""
