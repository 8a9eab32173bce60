"""`python -m spatialspec` is the command `spatialspec`."""

from spatialspec.cli import main

if __name__ == "__main__":
    main()
