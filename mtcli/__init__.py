"""mtcli: train, use and score neural machine translation models from the command line."""
