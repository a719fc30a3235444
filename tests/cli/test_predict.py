"""scripts/predict.py: images and arrays of a user's, by class and probability."""

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxcls
from jaxcls.cli import main, predict
from jaxcls.runs import trained

SCRIPT = Path(__file__).parents[2] / "scripts" / "predict.py"

FLAGS = (
    "--dataset",
    "digits",
    "--no-plots",
    "--epochs",
    "60",
    "--classes",
    "0",
    "1",
    "7",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert main.train_multiclass([*FLAGS, "--output-dir", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def test_set():
    return jaxcls.data.load("digits", classes=(0, 1, 7))[1]


def predicted(capsys, *argv):
    assert main.predict([*map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def picture(path, digit, *, size, at, ground):
    """A digit of five times the size, drawn dark on a light ground of any size."""
    ink = Image.fromarray(255 - digit.reshape(28, 28)).resize((140, 140))
    page = Image.new("L", size, ground)
    page.paste(ink.point(lambda grey: min(grey, ground)), at)
    page.save(path)


def test_pictures_of_any_size_and_ground(run, test_set, tmp_path, capsys):
    rows = [int(np.flatnonzero(test_set.targets == place)[6]) for place in range(3)]
    paths = [tmp_path / f"{place}.png" for place in range(3)]
    for path, row in zip(paths, rows, strict=True):
        picture(path, test_set.features[row], size=(160, 140), at=(10, 0), ground=230)
    entries = predicted(capsys, run, *paths)
    assert [entry["class"] for entry in entries] == ["0", "1", "7"]
    assert [entry["label"] for entry in entries] == [0, 1, 7]
    assert all("160 x 140, dark on light: inverted, " in e["done"] for e in entries)
    for entry in entries:
        assert list(entry["probabilities"]) == ["0", "1", "7"]
        assert sum(entry["probabilities"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_digits_anywhere_on_a_page_are_placed_as_mnists(mnist_dir, tmp_path, capsys):
    flags = ("--data-dir", str(mnist_dir), "--epochs", "60", "--no-plots")
    path = tmp_path / "run"
    assert main.train_binary([*flags, "--output-dir", str(path)]) == 0
    test = jaxcls.data.load("mnist", data_dir=mnist_dir, classes=(0, 1))[1]
    rows = range(0, 2115, 50)
    for row in rows:
        picture(
            tmp_path / f"{row}.png",
            test.features[row],
            **{"size": (400, 300), "at": (7 * row % 250, 100), "ground": 230},
        )
    capsys.readouterr()
    entries = predicted(capsys, path, *(tmp_path / f"{row}.png" for row in rows))
    right = [
        entry["label"] == label
        for entry, label in zip(entries, test.targets[rows], strict=True)
    ]
    assert np.mean(right) > 0.97
    assert all(entry["done"].endswith("centred by mass") for entry in entries)


def test_an_image_of_the_test_set_is_predicted_as_there(
    run, test_set, tmp_path, capsys
):
    Image.fromarray(test_set.features[3].reshape(28, 28)).save(tmp_path / "3.png")
    (entry,) = predicted(capsys, run, tmp_path / "3.png")
    want = jaxcls.load_run(run).predict_proba(test_set.features[3:4])[0]
    assert list(entry["probabilities"].values()) == want.tolist()
    assert entry["done"] == "28 x 28, light on dark: as it is"


def test_arrays_of_one_and_of_many(run, test_set, tmp_path, capsys):
    images = test_set.features.reshape(-1, 28, 28)
    np.save(tmp_path / "one.npy", images[0][..., None])
    np.save(tmp_path / "rows.npy", test_set.features[:3])
    np.savez(tmp_path / "floats.npz", x=test_set.features[:3] / np.float32(255))
    one, *rest = predicted(
        capsys,
        run,
        *(tmp_path / each for each in ("one.npy", "rows.npy", "floats.npz")),
    )
    assert one["input"] == str(tmp_path / "one.npy")
    assert [entry["input"].rpartition("/")[2] for entry in rest] == [
        f"{name}[{row}]" for name in ("rows.npy", "floats.npz") for row in range(3)
    ]
    for entry, other in zip(rest[:3], rest[3:], strict=True):
        assert entry["probabilities"] == other["probabilities"]
    # One row and three are other products, whose sums some processors round otherwise.
    assert one["probabilities"] == pytest.approx(rest[0]["probabilities"], rel=1e-5)


@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 28, 1), (1, 28, 28)])
def test_one_example_is_one_in_every_shape_it_may_have(
    shape, run, test_set, tmp_path, capsys
):
    np.save(tmp_path / "one.npy", test_set.features[0].reshape(shape))
    (entry,) = predicted(capsys, run, tmp_path / "one.npy")
    assert entry["input"] == str(tmp_path / "one.npy")


def test_a_line_for_people(run, test_set, tmp_path, capsys):
    np.save(tmp_path / "one.npy", test_set.features[0])
    assert main.predict([str(run), str(tmp_path / "one.npy")]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{tmp_path / 'one.npy'}  0  0.") and line.count("\n") == 1


def test_a_file_that_is_wrong_costs_no_other(run, test_set, tmp_path, capsys):
    np.save(tmp_path / "good.npy", test_set.features[0])
    np.save(tmp_path / "short.npy", test_set.features[:, :9])
    np.savez(tmp_path / "two.npz", a=test_set.features, b=test_set.features)
    (tmp_path / "text.png").write_text("no image")
    names = ("none.png", "short.npy", "two.npz", "text.png", "good.npy")
    assert main.predict([str(run), *(str(tmp_path / name) for name in names)]) == 2
    told = capsys.readouterr()
    assert told.out.startswith(str(tmp_path / "good.npy")) and told.out.count("\n") == 1
    problems = told.err.splitlines()
    assert len(problems) == 4
    for name, line in zip(names, problems, strict=False):
        assert line.startswith(f"predict.py: {tmp_path / name}: "), line
    assert "features must be [N, 784] or [N, 28, 28], got" in problems[1]
    assert "holds 2 arrays (a, b), and one is wanted" in problems[2]


def test_no_run_and_no_files_are_refused(run, tmp_path, capsys):
    assert main.predict([str(run)]) == 2
    assert "no files were named" in capsys.readouterr().err
    assert main.predict([str(tmp_path), "x.png"]) == 2
    assert "holds no run that can be read" in capsys.readouterr().err


def test_a_run_on_rows_takes_no_pictures(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = ["--dataset", str(tmp_path / "own.npz"), "--epochs", "2", "--no-plots"]
    path = tmp_path / "run"
    assert main.train_binary([*flags, "--output-dir", str(path)]) == 0
    capsys.readouterr()
    (tmp_path / "a.png").write_text("")
    assert main.predict([str(path), str(tmp_path / "a.png")]) == 2
    assert "was trained on rows of numbers or on floats" in capsys.readouterr().err
    np.save(tmp_path / "row.npy", x[0])
    assert len(predicted(capsys, path, tmp_path / "row.npy")) == 1


@pytest.mark.parametrize("count", [12, 13])
def test_chunks_are_seamless(count, run, test_set, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "a.npy", test_set.features[:count])
    np.savez(tmp_path / "b.npz", x=test_set.features[5:9] / np.float32(255))
    files = [str(tmp_path / name) for name in ("a.npy", "b.npz")]

    def printed():
        assert main.predict([str(run), *files]) == 0
        return capsys.readouterr().out.splitlines(), predicted(capsys, run, *files)

    lines, entries = printed()
    for module in (predict, trained):
        monkeypatch.setattr(module, "CHUNK", 4)
    in_chunks, entries_in_chunks = printed()
    names = [f"{files[0]}[{row}]" for row in range(count)]
    names += [f"{files[1]}[{row}]" for row in range(4)]
    assert [line.split("  ")[0] for line in in_chunks] == names
    assert [entry["input"] for entry in entries_in_chunks] == names
    # The sums of other products may be rounded otherwise.
    for line, other in zip(lines, in_chunks, strict=True):
        numbers, others = (
            [float(word.strip("()")) for word in each.split()[1:-3]]
            for each in (
                line.replace(" uncertainty", ""),
                other.replace(" uncertainty", ""),
            )
        )
        assert line.split()[:2] == other.split()[:2]
        assert numbers == pytest.approx(others, abs=2e-3)
    for entry, other in zip(entries, entries_in_chunks, strict=True):
        assert entry.keys() == other.keys()
        for key in ("input", "class", "label", "done"):
            assert entry[key] == other[key]
        for key in ("probabilities", "uncertainty", "disagreement"):
            assert entry[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    "shape, value, row, where",
    [
        ((784,), np.nan, 5, "got nan in row 5, column 300"),
        ((28, 28), np.inf, 9, "got inf in row 9 at [10, 20]"),
    ],
)
def test_a_row_that_is_not_finite_is_named_before_any_is_predicted(
    shape, value, row, where, run, test_set, tmp_path, capsys, monkeypatch
):
    for module in (predict, trained):
        monkeypatch.setattr(module, "CHUNK", 4)
    x = test_set.features[:11].reshape(-1, *shape) / np.float32(255)
    x.reshape(len(x), -1)[[row, 10], 300] = value
    path = tmp_path / "own.npy"
    np.save(path, x)
    for flags, out in ((), ""), (["--json"], "[\n]\n"):
        assert main.predict([str(run), str(path), *flags]) == 2
        told = capsys.readouterr()
        assert told.out == out
        assert told.err == (
            f"predict.py: {path}: features must be finite in float32, {where} (2 of 11 rows have "
            "such a number); mend these rows or leave them out.\n"
        )


@pytest.mark.slow
def test_libtiffs_own_lines_stay_out_of_standard_error(run, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    lines = []
    for compression in ("tiff_lzw", "tiff_deflate"):
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "TIFF", compression=compression)
        content = file.getvalue()
        (at,) = struct.unpack("<I", content[4:8])
        for name, tag, value in (("short", 279, 40), ("beyond", 273, 10**6)):
            damaged = bytearray(content)
            # An entry of the directory: its tag, its type, how many, and the value.
            place = damaged.index(struct.pack("<H", tag), at)
            struct.pack_into("<I", damaged, place + 8, value)
            path = tmp_path / f"{name}-{compression}.tif"
            path.write_bytes(damaged)
            lines.append((path, f"predict.py: {path}: it can't be read: decoder err"))
    done = subprocess.run(
        [sys.executable, SCRIPT, run, *(path for path, _ in lines)],
        capture_output=True,
        text=True,
    )
    told = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == "" and len(told) == 4, told
    for line, (_, start) in zip(told, lines, strict=True):
        assert line.startswith(start)


# The peak is asked of the process itself: what a parent is told of counts also what the
# child had of the parent's memory before it was another program.
MEASURED = """
import sys
from jaxcls.cli import main
code = main.predict(sys.argv[1:])
status = open("/proc/self/status").read()
print("VmHWM", status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")
@pytest.mark.parametrize("name", ["images.npy", "images.npz", "json", "packed.npz"])
def test_memory_is_bound_by_twice_the_arrays(name, run, tmp_path):
    """As the README says it."""
    generator = np.random.default_rng(0)
    flags = []
    if name == "packed.npz":
        images = np.zeros((500_000, 28, 28), np.uint8)
        np.savez_compressed(tmp_path / name, x=images)
    elif name == "json":
        name, flags = "rows.npy", ["--json"]
        images = generator.random((100_000, 784), np.float32)
        np.save(tmp_path / name, images)
    else:
        images = generator.integers(0, 256, (200_000, 28, 28), np.uint8)
        save = np.save if name.endswith(".npy") else np.savez
        save(tmp_path / name, images)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, run, tmp_path / name, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    (tmp_path / name).unlink()
    assert done.returncode == 0, done.stderr
    peak = 1024 * int(done.stderr.rpartition("VmHWM")[2])
    print(f"{name}: {peak / 1e6:.0f} MB, of {images.nbytes / 1e6:.0f} MB of arrays")
    assert peak < 2 * images.nbytes + 500_000_000


@pytest.mark.parametrize("kind, most", [(np.uint8, "1"), (np.float32, "0.00392157")])
def test_arrays_of_a_scale_that_can_hardly_be_meant_are_said(
    kind, most, run, tmp_path, capsys
):
    rows = np.eye(3, 784, dtype=kind)
    np.save(tmp_path / "rows.npy", rows if kind == np.uint8 else rows / np.float32(255))
    assert main.predict([str(run), str(tmp_path / "rows.npy")]) == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 3
    assert f"rows.npy: its numbers go up to {most}, and the run was" in told.err
    assert told.err.count("\n") == 1
