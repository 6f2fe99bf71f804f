"""Run the grid of trainings and evaluations that a report needs."""
