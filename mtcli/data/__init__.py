"""Text to sentence pairs, to token ids, to batches; knows no model."""
