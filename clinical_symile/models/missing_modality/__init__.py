"""What a model does where a modality is missing."""
