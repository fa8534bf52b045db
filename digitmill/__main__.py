"""`python -m digitmill` is the command `digitmill`."""

from digitmill.cli import main

if __name__ == "__main__":
    main()
