"""A small English-German grammar from which the sample corpus is drawn."""
