"""The synthetic cohort and its Bayes-optimal oracle."""
