"""The hot operations, each beside a plain PyTorch twin that is its test oracle; knows no layer."""
