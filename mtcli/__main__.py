"""`python -m mtcli` is `mtcli`."""

from mtcli.cli.main import main

if __name__ == "__main__":
    main()
