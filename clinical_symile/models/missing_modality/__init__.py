"""Methods to train on samples that lack a modality."""
