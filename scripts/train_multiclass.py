#!/usr/bin/env python3
"""Trains and scores a classifier of K classes; `--help` lists the flags."""

from start import start

if __name__ == "__main__":
    start("train_multiclass")
