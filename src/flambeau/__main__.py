"""`python -m flambeau` does what `flambeau` does."""

from flambeau.cli.main import main

if __name__ == "__main__":
    main()
