"""Positional encodings beside the plain ones of `mtcli.model.position`, one in each file."""
