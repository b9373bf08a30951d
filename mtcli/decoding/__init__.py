"""From `step()` to sentences; knows no architecture."""
