"""`python -m promethean.config` prints the reference page of all settings."""

import sys

from promethean.config.pages import reference_page

if __name__ == "__main__":
    sys.stdout.write(reference_page())
