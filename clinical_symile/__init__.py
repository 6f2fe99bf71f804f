"""Benchmark of learning from chest X-rays, ECGs and labs together when some of them are missing."""

__version__ = "0.1.0"
