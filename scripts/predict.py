#!/usr/bin/env python3
"""Predicts the classes of images and arrays with a trained run; `--help` lists the flags."""

from start import start

if __name__ == "__main__":
    start("predict")
