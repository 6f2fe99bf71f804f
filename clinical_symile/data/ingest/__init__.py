"""Read raw tables and files and write a cohort store."""
