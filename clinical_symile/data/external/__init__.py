"""Read predictions and embeddings of external models."""
