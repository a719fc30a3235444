"""Trains and scores a classifier of K classes; `--help` lists the flags."""

import sys

from jaxcls.cli.main import train_multiclass

if __name__ == "__main__":
    sys.exit(train_multiclass())
