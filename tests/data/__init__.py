"""Tests of mtcli.data."""
