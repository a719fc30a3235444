#!/usr/bin/env python3
"""Reproduces every figure of the course notes; `--help` lists the flags."""

from start import start

if __name__ == "__main__":
    start("reproduce")
