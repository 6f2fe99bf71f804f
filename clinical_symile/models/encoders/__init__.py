"""Encoders of images, waveforms and tabular vectors."""
