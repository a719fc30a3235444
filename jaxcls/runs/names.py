"""The names of the files of a run's folder."""

import re

CONFIG, HISTORY, METRICS, MODEL, LAST = (
    "config.json",
    "history.jsonl",
    "metrics.json",
    "model.safetensors",
    "last.safetensors",
)
PICTURES = (
    *("curves.png", "confusion.png", "mistakes.png", "weights.png"),  # of classes
    *("reliability.png", "roc.png"),
    *("predicted.png", "residuals.png"),  # of numbers
    *("sweep.png", "heat_map.png"),  # of a sweep
)
TABLES = ("seeds.csv", "members.csv", "sweep.csv", "predictions.csv")
CHECKPOINTS, MEMBERS, WINNER, ENSEMBLE = "checkpoints", "members", "winner", "ensemble"
RESULTS = (METRICS, MODEL, LAST, HISTORY, *PICTURES, *TABLES)
STATE = {
    CHECKPOINTS: re.compile(r"epoch-(\d{10})\.(json|safetensors)"),
    MEMBERS: re.compile(r"block-(\d{6})\.(json|safetensors)"),
}
