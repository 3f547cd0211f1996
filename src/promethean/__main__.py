"""`python -m promethean` is `promethean`."""

from promethean.cli import main

if __name__ == "__main__":
    main()
