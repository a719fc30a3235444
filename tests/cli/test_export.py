"""scripts/export.py: what runs where neither jax nor jaxcls is, and one sentence for mistakes."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import own
import pandas
import pytest
from safetensors.numpy import load_file

import jaxcls
from jaxcls import Config, bernoulli, categorical, ensembles, mlp
from jaxcls.cli import main
from jaxcls.cli.export import onnx_model
from jaxcls.runs import save_run

TABLE = (
    *(
        "--dataset",
        "trees.csv",
        "--target",
        "sort",
        "--categorical",
        "ring",
        "--drop",
        "note",
    ),
    *("--epochs", "20", "--hidden", "8", "--learning-rate", "0.05", "--no-plots"),
)
NUMBERS = (
    *(
        "--dataset",
        "trees.csv",
        "--target",
        "height",
        "--drop",
        "note",
        "--hidden",
        "8",
    ),
    *("--likelihood", "normal", "--seeds", "2", "--epochs", "10", "--no-plots"),
)
# Of digits: their classes, how many networks, and what was calibrated.
DIGITS = {
    "binary": ((3, 8), 1, {}),
    "multiclass": ((0, 1, 7), 1, {"temperature": 1.7}),
    "ensemble": ((4, 9, 2), 3, {}),
    "two": ((5, 6), 2, {"temperature": 0.6, "threshold": 0.37}),
}


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
    for name, (classes, count, calibrated) in DIGITS.items():
        train, test = jaxcls.data.load("digits", classes=classes)
        likelihood = bernoulli if len(classes) == 2 else categorical
        config = Config((784, 8, likelihood.num_outputs(len(classes))), likelihood)
        nets = [
            mlp.init(jax.random.key(seed), config.layer_sizes) for seed in range(count)
        ]
        params = jax.tree.map(lambda leaf: 4 * leaf, ensembles.stack(nets))
        seeds = range(count)
        if count == 1:
            params, seeds = jax.tree.map(lambda leaf: leaf[0], params), None
        save_run(folder / name, params, config, train=train, seeds=seeds)
        export(folder, name, test.features, calibrated)
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The same of a table: one run tells classes, and one numbers."""
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("trees.csv").write_text("\n".join(lines_of(90, 0)))
        strange = (
            "1999.5,,marl,,3,,strange,ash"  # unknown, and missing as in no training row
        )
        Path("more.csv").write_text("\n".join([*lines_of(60, 1), strange]))
        assert main.train_multiclass([*TABLE, "--output-dir", "table"]) == 0
        assert main.train_regression([*NUMBERS, "--output-dir", "numbers"]) == 0
    export(folder, "table", folder / "more.csv", {})
    export(folder, "numbers", folder / "more.csv", {})
    return folder


def export(folder, name, features, calibrated):
    """The graph of a run, and what the run itself says of features."""
    run = dataclasses.replace(jaxcls.load_run(folder / name), **calibrated)
    (folder / f"{name}.onnx").write_bytes(onnx_model(run).SerializeToString())
    if run.target is not None:
        mean, std, *_ = run.moments(features)
        kept = {"mean": mean[:, None], "std": std[:, None], "scale": run.target.scale}
    else:
        kept = {
            "label": run.predict(features),
            "probabilities": run.predict_proba(features),
        }
    if not isinstance(features, Path):
        kept["features"] = features
    np.savez(folder / f"{name}.npz", **kept, class_names=run.class_names)


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
    if "mean" in kept:
        for want, found in zip(("mean", "std"), session.run(["mean", "std"], given), strict=True):
            assert found.shape == kept[want].shape and found.dtype == np.float64
            off = np.abs(found - kept[want]).max() / kept["scale"]
            assert off < 1e-6, (name, want, off)
        print(name, len(found))
        continue
    label, probabilities = session.run(["label", "probabilities"], given)
    off = np.abs(probabilities - kept["probabilities"]).max()
    assert off < 1e-6, (name, off)
    want = kept["label"]
    if label.dtype == object:
        want = kept["class_names"][want]
    assert label.ndim == 1
    assert (label == want).all(), name
    assert len(set(label.tolist())) > 1, name
    print(name, len(label))
for name in ("jax", "jaxcls"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name)
assert not {"jax", "jaxlib", "jaxcls"} & {*sys.modules}
"""


def ran_alone(folder, *names):
    """How many rows the graphs of these names were given, where they agree with jaxcls."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", ALONE, *names],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_onnxruntime_gives_the_same_without_jax_and_jaxcls(folder):
    assert [name for name, _ in ran_alone(folder, *DIGITS)] == [*DIGITS]


@pytest.mark.slow
def test_so_it_does_of_tables(tables):
    names = ("table", "numbers")
    assert ran_alone(tables, *names) == [[name, "61"] for name in names]


@pytest.mark.slow
def test_pandas_feeds_a_graph(tables):
    # As jaxcls/runs/README.md says it.
    session = onnxruntime.InferenceSession(tables / "table.onnx")
    table = pandas.read_csv(tables / "more.csv", skipinitialspace=True)
    table["soil"] = table["soil"].str.strip()
    given = {}
    for each in session.get_inputs():
        column = table[[each.name]]
        is_word = each.type == "tensor(string)"
        given[each.name] = (
            column.fillna("").astype(str).to_numpy(object)
            if is_word
            else column.to_numpy(float)
        )
    _, got = session.run(None, given)
    want = np.load(tables / "table.npz")["probabilities"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def exported(*argv, code=0):
    assert main.export([*map(str, argv)]) == code


def test_the_command_writes_a_file_beside_the_run(folder, tmp_path, capsys):
    run = shutil.copytree(folder / "ensemble", tmp_path / "ensemble.0")
    exported(run)
    path = tmp_path / "ensemble.0.onnx"
    first, *told = capsys.readouterr().out.splitlines()
    assert first == f"{path}: ONNX, opset 18, {path.stat().st_size:,} bytes"
    assert told == [
        "in  features: uint8 [N, 784], bytes 0 to 255, an image row by row",
        "out label: int64 [N], the answer",
        "out probabilities: float32 [N, 3], of the classes 4, 9, 2",
    ]
    other = tmp_path / "other.onnx"
    exported(run, "--output", other, "--opset", 13)
    assert onnx.load(other).opset_import[0].version == 13
    exported(run, "--output", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_the_command_tells_a_tables_columns(tables, tmp_path, capsys):
    path = tmp_path / "own.onnx"
    exported(tables / "table", "--output", path)
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[0].startswith(
        f"{path}: ONNX, opset 18, ai.onnx.ml 2, "
    )
    assert told.out.splitlines()[1:] == [
        "in  height: float64 [N, 1], a number, NaN where it is missing",
        "in  größe 1: float64 [N, 1], a number, NaN where it is missing",
        "in  age: float64 [N, 1], a number, NaN where it is missing",
        "in  soil: string [N, 1], a category as a word, empty where it is missing",
        "in  wet: string [N, 1], a category as a word, empty where it is missing",
        "in  ring: float64 [N, 1], a category as a number, NaN where it is missing",
        "out label: string [N], the answer",
        "out probabilities: float32 [N, 3], of the classes ash, beech, cedar",
    ]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    kept = {each.key: each.value for each in model.metadata_props}
    metrics = json.loads((tables / "table" / "metrics.json").read_text())
    assert kept == {
        "classes": '["ash", "beech", "cedar"]',
        "source": f"jaxcls {jaxcls.__version__}, the run table",
        "dataset": "trees.csv",
        "data_sha256": metrics["config"]["data_sha256"],
        "weights_sha256": metrics["sha256_of"]["model.safetensors"],
    }
    exported(tables / "numbers", "--output", tmp_path / "numbers.onnx")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "out mean: float64 [N, 1], of height, in its unit",
        "out std: float64 [N, 1], standard deviation of the prediction",
    ]
    started = shutil.copytree(tables / "table", tmp_path / "started")
    (started / "metrics.json").unlink()
    exported(started, code=2)
    assert capsys.readouterr().err == (
        f"export.py: {started}: the run is not finished; --resume it to its end first.\n"
    )


def test_mistakes_are_one_sentence(folder, tmp_path, capsys, monkeypatch):
    exists, run = tmp_path / "there", folder / "binary"
    exists.write_text("")
    nowhere = tmp_path / "no" / "x"

    def says(sentence, *argv):
        exported(*argv, code=2)
        told = capsys.readouterr()
        assert (told.out, told.err) == ("", f"export.py: {sentence}\n")

    says(
        f"{exists}: is there already; name another --output, or remove it.",
        run,
        "--output",
        exists,
    )
    says(
        f"{nowhere}: there is no folder {nowhere.parent}; make it, or name another --output.",
        *(run, "--output", nowhere),
    )
    says(
        "opset must be 13 to 23, got 9; 18 is read by onnxruntime 1.14 and later.",
        *(run, "--opset", 9, "--output", tmp_path / "x"),
    )
    says(
        "--opset: is of ONNX alone; leave it out with --format torch.",
        *(run, "--opset", 18, "--format", "torch"),
    )
    monkeypatch.setitem(sys.modules, "onnx", None)
    says(
        "the package onnx is not installed, which writes ONNX; install it by pip install "
        "'jaxcls[export]', or by pip install onnx.",
        *(run, "--output", tmp_path / "x"),
    )
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def test_runs_that_can_not_be_exported_are_refused(folder, tmp_path, capsys):
    params = mlp.init(jax.random.key(0), (4, 3, 1))
    for name, config in (
        ("activation 'leaky'", Config((4, 3, 1), bernoulli, activation=own.leaky)),
        ("likelihood 'focal'", Config((4, 3, 1), own.focal)),
    ):
        save_run(tmp_path / "own", params, config, overwrite=True)
        for form in ("onnx", "torch"):
            exported(tmp_path / "own", "--format", form, code=2)
            assert capsys.readouterr().err == (
                f"export.py: {tmp_path / 'own'}: its {name} is a function of one's own, which no "
                "other library has; train with one of jaxcls's to export it.\n"
            )
    exported(tmp_path / "none", code=2)
    assert re.fullmatch(r"export.py: .*none.*\n", capsys.readouterr().err)
    started = shutil.copytree(folder / "two", tmp_path / "started")
    (started / "metrics.json").unlink()
    exported(started, code=2)
    assert re.fullmatch(
        r"export.py: .*: the run has no result and .*; resume it .*\n",
        capsys.readouterr().err,
    )


def test_for_pytorch_weights_and_the_lines_that_load_them(folder, tmp_path, capsys):
    # tests/interop/test_with_pytorch.py runs the lines.
    path = tmp_path / "two.safetensors"
    exported(folder / "two", "--format", "torch", "--output", path)
    told = capsys.readouterr().out
    assert told.startswith("import torch\n") and len(told.splitlines()) <= 14
    arrays = load_file(path)
    assert [*arrays] == [
        f"{net}.{name}"
        for net in range(2)
        for name in ("0.bias", "0.weight", "2.bias", "2.weight")
    ]
    assert arrays["0.0.weight"].shape == (8, 784)
