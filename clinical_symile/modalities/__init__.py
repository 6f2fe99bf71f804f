"""Modality adapters that read chest X-rays, ECGs and labs."""
