"""Launchers: run the trainings of a benchmark in processes of this machine or on a cluster."""
