"""`python -m jaxcls`: the command `jaxcls`."""

import sys

from jaxcls.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
