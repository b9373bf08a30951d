"""Durable files and the checkpoint directory: save, load, verify, average."""
