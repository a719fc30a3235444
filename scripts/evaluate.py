"""Scores a trained run on its training, validation and test set; `--help` lists the flags."""

import sys

from jaxcls.cli.main import evaluate

if __name__ == "__main__":
    sys.exit(evaluate())
