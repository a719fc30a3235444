"""scripts/predict.py: images and arrays of a user's, by class and probability."""

import json

import numpy as np
import pytest
from PIL import Image

import jaxcls
from jaxcls.cli import main

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
    rows = [int(np.flatnonzero(test_set.targets == place)[4]) for place in range(3)]
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
