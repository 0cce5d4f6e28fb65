"""`python -m elman` is the command line."""

from elman.cli.app import run

if __name__ == "__main__":
    run()
