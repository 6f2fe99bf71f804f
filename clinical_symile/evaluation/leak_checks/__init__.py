"""Check that a component never reads a hidden modality."""
