"""Attention mechanisms, one file each; `multihead.py` joins them with projections."""
