"""Train a model: the loop, optimizer, checkpoints and model selection."""
