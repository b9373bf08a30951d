"""Flags to one call to results: the only place that prints, exits or reads sys.argv."""
