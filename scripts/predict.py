"""Predicts the classes of images and arrays with a trained run; `--help` lists the flags."""

import sys

from jaxcls.cli.main import predict

if __name__ == "__main__":
    sys.exit(predict())
