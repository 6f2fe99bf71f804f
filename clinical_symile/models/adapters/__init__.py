"""Adapters: few trained weights that change what a frozen encoder computes."""
