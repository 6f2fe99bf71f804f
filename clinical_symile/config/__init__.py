"""Read and validate the TOML definitions of cohorts, tasks and reports."""
