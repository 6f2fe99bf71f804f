"""Encoders, the multimodal encoder and what fills missing modalities."""
