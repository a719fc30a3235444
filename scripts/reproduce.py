"""Reproduces every figure of the course notes; `--help` lists the flags."""

import sys

from jaxcls.cli.main import reproduce

if __name__ == "__main__":
    sys.exit(reproduce())
