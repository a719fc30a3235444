#!/usr/bin/env python3
"""Trains, ranks and scores many settings of a classifier; `--help` lists the flags."""

from start import start

if __name__ == "__main__":
    start("sweep")
