"""Laws of the generated sample corpus."""
