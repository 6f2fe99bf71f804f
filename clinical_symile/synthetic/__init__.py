"""Write the synthetic cohort, and compute its Bayes-optimal oracle."""
