"""Tensors to tensors; knows no file, no text and no flag."""
