#!/usr/bin/env python3
"""Writes a trained run for ONNX or PyTorch; `--help` lists the flags."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Neither runpy nor PYTHONSAFEPATH put it there.
    sys.path.insert(0, str(Path(__file__).parent))
    from start import start

    start("export")
