"""Trains, ranks and scores many settings of a classifier; `--help` lists the flags."""

import sys

from jaxcls.cli.main import sweep

if __name__ == "__main__":
    sys.exit(sweep())
