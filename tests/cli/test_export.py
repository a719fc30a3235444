"""scripts/export.py: what runs where neither jax nor jaxcls is, and one sentence for mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import own
import pytest

import jaxcls
from jaxcls import Config, Hyperparams, bernoulli, mlp
from jaxcls.cli import main
from jaxcls.cli.export import onnx_model
from jaxcls.runs import save_run

SHORT = ("--no-plots", "--epochs", "20", "--hidden", "8", "--learning-rate", "0.05")
DIGITS = ("--dataset", "digits", *SHORT)
TRAINED = {
    "binary": (main.train_binary, *DIGITS, "--classes", "3", "8"),
    "multiclass": (main.train_multiclass, *DIGITS, "--classes", "0", "1", "7"),
    "ensemble": (
        main.train_multiclass,
        *DIGITS,
        "--classes",
        "4",
        "9",
        "2",
        "--seeds",
        "3",
    ),
    "two": (main.train_binary, *DIGITS, "--classes", "5", "6", "--seeds", "2"),
    "table": (
        *(main.train_multiclass, "--dataset", "trees.csv", "--target", "sort", *SHORT),
        *("--categorical", "ring", "--drop", "note"),
    ),
}
TABLES = {"table": "more.csv"}


def lines_of(num_rows, seed):
    """Rows of a table with all that a column may have: numbers far from 0, and what is missing."""
    rng = np.random.default_rng(seed)
    lines = ["height,größe 1,soil,wet,ring,age,note,sort"]
    for row in range(num_rows):
        place = row % 3
        height = "" if row % 11 == 3 else f"{rng.normal(2000 + 5 * place, 1):.3f}"
        soil = ("clay", "NA", '"peat, wet"', " sand ")[rng.integers(4)]
        wet = ("TRUE", "false")[rng.integers(2)]
        ring = ("7", "2.50", "11.0", "")[rng.integers(4)]
        size = f"{rng.normal(place, 3):.5e}"
        lines.append(
            f"{height},{size},{soil},{wet},{ring},{rng.integers(1, 90)},x{row},"
            f"{('ash', 'beech', 'cedar')[place]}"
        )
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs, what they were exported to, and what they say of test data."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("trees.csv").write_text("\n".join(lines_of(90, 0)))
        strange = (
            "1999.5,,marl,,3,,strange,ash"  # unknown, and missing as in no training row
        )
        Path("more.csv").write_text("\n".join([*lines_of(60, 1), strange]))
        for name, (script, *argv) in TRAINED.items():
            assert script([*argv, "--output-dir", name]) == 0
            assert main.export([name]) == 0
            run = jaxcls.load_run(name)
            arrays = {}
            features = TABLES.get(name)
            if features is None:
                data = jaxcls.data.load("digits", classes=run.labels)[1]
                features = arrays["features"] = data.features
            arrays |= {
                "label": run.predict(features),
                "probabilities": run.predict_proba(features),
            }
            np.savez(f"{name}.npz", **arrays, class_names=run.class_names)
    return folder


# What a user of onnxruntime writes; it stands where nothing of jaxcls can be imported.
ALONE = """
import csv, sys
import numpy as np

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib", "jaxcls"):
            raise ModuleNotFoundError(f"{name} is not here")

sys.meta_path.insert(0, Refuse())
import onnxruntime

def of_table(session, path):
    rows = list(csv.DictReader(open(path, encoding="utf-8")))
    given = {}
    for each in session.get_inputs():
        column = [row[each.name].strip() for row in rows]
        if each.type == "tensor(double)":
            given[each.name] = np.array([[float(value or "nan")] for value in column])
        else:
            assert each.type == "tensor(string)", each.type
            given[each.name] = np.array(column, object)[:, None]
    return given

for name in sys.argv[1:]:
    session = onnxruntime.InferenceSession(f"{name}.onnx")
    kept = np.load(f"{name}.npz")
    given = {"features": kept["features"]} if "features" in kept else of_table(session, "more.csv")
    label, probabilities = session.run(["label", "probabilities"], given)
    off = np.abs(probabilities - kept["probabilities"]).max()
    assert off < 1e-6, (name, off)
    want = kept["label"]
    if label.dtype == object:
        want = kept["class_names"][want]
    assert (label == want).all(), name
    assert len(set(label.tolist())) == probabilities.shape[1], name
    print(name, len(label))
for name in ("jax", "jaxcls"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name)
assert not {"jax", "jaxlib", "jaxcls"} & {*sys.modules}
"""


def test_onnxruntime_gives_the_same_without_jax_and_jaxcls(folder):
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", ALONE, *TRAINED],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert [*counts] == [*TRAINED] and counts["table"] == "61"
