#!/usr/bin/env python3
"""Scores a trained run on its training, validation and test set; `--help` lists the flags."""

from start import start

if __name__ == "__main__":
    start("evaluate")
