"""Trains and scores a classifier of two classes; `--help` lists the flags."""

import sys

from jaxcls.cli.main import train_binary

if __name__ == "__main__":
    sys.exit(train_binary())
