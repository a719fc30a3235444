"""The two scripts: results, run folders, recipes, and one sentence for every mistake."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxcls.cli import data as loading
from jaxcls.cli import main, train
from jaxcls.cli.flags import RECIPES, BinaryFlags, MulticlassFlags
from jaxcls.cli.parsing import parse
from jaxcls.files import read_json

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHORT = ("--dataset", "digits", "--epochs", "4", "--no-plots", "--output-dir", "run")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def binary(*argv):
    return main.train_binary(argv)


def multiclass(*argv):
    return main.train_multiclass(argv)


def run_script(name, *argv, **environment):
    return subprocess.run(
        [sys.executable, SCRIPTS / name, *argv],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def metrics(folder="run"):
    return json.loads((Path(folder) / "metrics.json").read_text())


def scored(folder="run"):
    """The lines of the epochs that a report scored."""
    return [line for line in history(folder) if "train_accuracy" in line]


def history(folder="run"):
    return [
        json.loads(line)
        for line in (Path(folder) / "history.jsonl").read_text().splitlines()
    ]


def test_train_binary_end_to_end():
    done = run_script("train_binary.py", "--dataset", "digits", "--epochs", "60")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    header, *reports, train_line, test_line, where = done.stdout.splitlines()
    assert re.match(
        r"digits, classes 0 1: 289 train, 71 test \| 784-32-1 \| cpu, float32 \|",
        header,
    )
    assert [line.split()[1] for line in reports] == [
        f"{epoch}/60" for epoch in range(6, 61, 6)
    ]
    folder = Path(where.removeprefix("run folder").strip())
    assert re.fullmatch(r"runs/\d{8}-\d{6}-digits-0-1", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        *("checkpoints", "config.json", "confusion.png", "curves.png", "history.jsonl"),
        *("metrics.json", "mistakes.png", "model.safetensors", "reliability.png"),
        *("roc.png", "weights.png"),
    ]
    result = metrics(folder)
    assert set(result) == {
        *("dataset", "classes", "num_train", "num_test", "config", "train", "test"),
        *("validation", "num_validation", "chosen", "seconds", "device", "versions"),
        *("sha256", "sha256_of"),
    }
    assert set(result["seconds"]) == {"load", "compile", "train", "total"}
    assert all(seconds > 0 for seconds in result["seconds"].values())
    assert (
        sum(result["seconds"][part] for part in ("load", "train"))
        < result["seconds"]["total"]
    )
    assert result["config"] == read_json(folder / "config.json")
    assert result["validation"] is None and result["num_validation"] == 0
    assert result["chosen"] == {
        **{"params": "last", "epoch": 60, "by": None, "value": None},
        **{"epochs_done": 60, "stopped_by": "epochs"},
    }
    score = result["test"]
    assert score["accuracy"] == score["correct"] / score["count"] > 0.98
    assert (
        test_line
        == f"test accuracy  {score['accuracy']:.4f} ({score['correct']} of 71)"
    )
    assert train_line.startswith(f"train accuracy {result['train']['accuracy']:.4f} (")
    assert history(folder)[-1]["train_accuracy"] == result["train"]["accuracy"]


@pytest.mark.slow
def test_train_multiclass_end_to_end():
    done = run_script(
        "train_multiclass.py",
        *("--dataset", "digits", "--classes", "7", "1", "4", "--hidden", "16", "8"),
        *(
            "--batch-size",
            "32",
            "--dropout",
            "0.1",
            "--optimizer",
            "adamw",
            "--epochs",
            "12",
        ),
        *("--output-dir", "run", "--report-every", "5"),
    )
    assert done.returncode == 0, done.stderr
    assert [record["epoch"] for record in history()] == list(range(1, 13))
    assert [record["epoch"] for record in scored()] == [5, 10, 12]
    result = metrics()
    assert result["classes"] == ["7", "1", "4"]
    assert result["test"]["accuracy"] > 0.9
    model = safetensors.numpy.load_file("run/model.safetensors")
    assert {name: array.shape for name, array in model.items()} == {
        "params/Dense_0/kernel": (784, 16),
        "params/Dense_0/bias": (16,),
        "params/Dense_1/kernel": (16, 8),
        "params/Dense_1/bias": (8,),
        "params/Dense_2/kernel": (8, 3),
        "params/Dense_2/bias": (3,),
    }


@pytest.mark.slow
def test_a_run_repeats_to_the_bit():
    flags = (
        "--dataset",
        "digits",
        "--epochs",
        "3",
        "--batch-size",
        "16",
        "--dropout",
        "0.5",
    )
    for folder in ("one", "two"):
        assert binary(*flags, "--no-plots", "--output-dir", folder) == 0
    assert binary(*flags, "--no-plots", "--output-dir", "other", "--seed", "1") == 0
    one, two, other = (
        (Path(folder) / "model.safetensors").read_bytes()
        for folder in ("one", "two", "other")
    )
    assert one == two != other
    assert history("one") == history("two")


def test_defaults_are_the_notes_pattern():
    flags = parse(BinaryFlags, "train_binary.py", [])
    assert (flags.hidden, flags.optimizer, flags.learning_rate) == ((32,), "adam", 1e-3)
    assert (flags.batch_size, flags.epochs, flags.likelihood) == (
        "full",
        100,
        "bernoulli",
    )
    assert flags.dropout == 0 and flags.init == "key"
    assert parse(MulticlassFlags, "train_multiclass.py", []).epochs == 100


def test_a_flag_beside_a_recipe_overrides_it():
    for name, recipe in RECIPES.items():
        flags = parse(BinaryFlags, "train_binary.py", ["--recipe", name])
        assert flags == recipe and flags.recipe == name
        assert (flags.optimizer, flags.seed, flags.init) == ("sgd", 1, "torch")
    flags = parse(BinaryFlags, "", ["--epochs", "7", "--recipe=b", "--init", "key"])
    assert (flags.epochs, flags.init, flags.dropout, flags.seed) == (7, "key", 0.5, 1)


@pytest.mark.slow
def test_recipe_a_prints_the_notes_accuracies(mnist_dir, capsys):
    flags = ("--recipe", "a", "--no-plots", "--output-dir", "run")
    assert binary("--data-dir", str(mnist_dir), *flags) == 0
    shown = capsys.readouterr().out
    assert "train accuracy 0.9936 (12,584 of 12,665)" in shown
    assert "test accuracy  0.9986 (2,112 of 2,115)" in shown
    # The notes print two decimals every 50 epochs.
    notes = [0.45, 0.66, 0.85, 0.94, 0.97, 0.98, 0.99, 0.99, 0.99, 0.99]
    assert [round(record["train_accuracy"], 2) for record in scored()] == notes


@pytest.mark.slow
def test_recipe_d_is_good_after_two_epochs(mnist_dir):
    flags = ("--recipe", "d", "--no-plots", "--output-dir", "run")
    assert binary("--data-dir", str(mnist_dir), *flags) == 0
    assert [record["epoch"] for record in history()] == [1, 2]
    assert metrics()["test"]["accuracy"] >= 0.98


def test_the_defaults_on_real_mnist(mnist_dir):
    flags = ("--data-dir", str(mnist_dir), "--no-plots", "--output-dir", "run")
    assert binary(*flags) == 0
    assert metrics()["test"]["accuracy"] >= 0.999


@pytest.mark.slow
def test_the_defaults_of_three_classes_on_real_mnist(mnist_dir):
    flags = ("--data-dir", str(mnist_dir), "--no-plots", "--output-dir", "run")
    assert multiclass(*flags) == 0
    assert metrics()["train"]["accuracy"] >= 0.98


@pytest.mark.slow
def test_all_ten_classes_of_real_mnist(mnist_dir):
    flags = ("--hidden", "128", "--batch-size", "128", "--epochs", "10", "--no-plots")
    classes = ("--classes", *"0123456789")
    assert (
        multiclass(
            "--data-dir", str(mnist_dir), *classes, *flags, "--output-dir", "run"
        )
        == 0
    )
    score = metrics()["test"]
    assert score["count"] == 10_000 and score["accuracy"] >= 0.975


@pytest.mark.slow
def test_no_hidden_layer_and_two_outputs():
    assert binary(*SHORT, "--hidden", "--likelihood", "categorical") == 0
    assert metrics()["config"]["layer_sizes"] == [784, 2]


def test_pytorchs_weights_are_a_choice():
    from jaxcls.interop import pytorch

    assert (
        binary(*SHORT, "--init", "torch", "--seed", "3", "--learning-rate", "1e-30")
        == 0
    )
    model = safetensors.numpy.load_file("run/model.safetensors")
    want = pytorch.init(3, (784, 32, 1))["Dense_0"]["kernel"]
    np.testing.assert_array_equal(model["params/Dense_0/kernel"], want)


def test_a_users_arrays_are_trained_on(capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 5)).astype(np.float32)
    np.savez("own.npz", x_train=x, y_train=x[:, 0], x_test=x, y_test=x[:, 0])
    flags = ("--dataset", "own.npz", "--learning-rate", "0.05", "--output-dir", "run")
    assert binary(*flags) == 2
    assert "y_train names 90 classes in 90 examples" in capsys.readouterr().err
    y = np.where(x[:, 0] > 0, 30, 20)
    np.savez("own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert binary(*flags) == 0
    assert metrics()["classes"] == ["20", "30"] and metrics()["test"]["accuracy"] > 0.9
    assert "mistakes.png is left out" in capsys.readouterr().out
    assert not Path("run/mistakes.png").exists()


def test_digits_stand_in_with_one_plain_line(monkeypatch, capsys):
    from jaxcls.data import loading

    def fail(name):
        raise OSError(f"{name} is not at hand and its host does not answer. Get it.")

    monkeypatch.delenv("JAXCLS_DATA_DIR", raising=False)
    monkeypatch.setattr(loading, "load_cached", fail)
    assert binary("--epochs", "1", "--no-plots", "--output-dir", "run") == 0
    assert metrics()["dataset"] == "digits"
    assert capsys.readouterr().err == (
        "train_binary.py: training on the digits of scikit-learn instead of MNIST: mnist is not "
        "at hand and its host does not answer. Get it.\n"
    )
    assert binary("--dataset", "mnist", "--epochs", "1", "--output-dir", "none") == 2
    assert not Path("none").exists()


def test_a_batch_larger_than_the_data_says_what_is_used(capsys):
    assert binary(*SHORT, "--batch-size", "100000") == 0
    assert capsys.readouterr().err == (
        "train_binary.py: batch_size 100,000 is more than the 289 training examples; the full "
        "batch is used.\n"
    )


WRONG = {
    "data folder missing": (
        ["--data-dir", "none"],
        "data folder none: there is no such folder",
    ),
    "data folder empty": (
        ["--data-dir", "."],
        "lacks t10k-images-idx3-ubyte.gz, t10k-labels",
    ),
    "data folder and digits": (
        ["--dataset", "digits", "--data-dir", "."],
        "digits has no use",
    ),
    "no such dataset": (
        ["--dataset", "cifar"],
        "dataset must be mnist, fashion_mnist, kmnist",
    ),
    "no such npz": (
        ["--dataset", "none.npz"],
        "none.npz: there is no such file; name with --",
    ),
    "class it has not": (["--classes", "0", "10"], "it has no 10"),
    "class twice": (
        ["--classes", "1", "1"],
        "classes must differ from each other, got 1 1",
    ),
    "one class": (["--classes", "1"], "classes must be two or more, got one: 1"),
    "three classes": (
        ["--classes", "1", "2", "3"],
        "classes must be two here, got 3: 1 2 3",
    ),
    "dropout of 1": (["--dropout", "1"], "dropout_rate must lie in [0, 1), got 1.0"),
    "dropout below 0": (
        ["--dropout", "-0.5"],
        "dropout_rate must lie in [0, 1), got -0.5",
    ),
    "dropout nan": (["--dropout", "nan"], "dropout_rate must lie in [0, 1), got nan"),
    "learning rate 0": (
        ["--learning-rate", "0"],
        "learning_rate must be positive and finite",
    ),
    "learning rate inf": (
        ["--learning-rate", "inf"],
        "learning_rate must be positive and finite",
    ),
    "weight decay": (
        ["--weight-decay", "-1"],
        "weight_decay must be finite in float32 and at least 0",
    ),
    "momentum": (["--momentum", "0.9"], "momentum belongs to sgd, got 0.9 with adam"),
    "hidden 0": (["--hidden", "0"], "layer_sizes must be the inputs"),
    "epochs 0": (["--epochs", "0"], "epochs must be at least 1, got 0"),
    "epochs beyond int32": (
        ["--epochs", "100000000000"],
        "epochs must be at most 2,147,483,647, got 100,000,000,000",
    ),
    "learning rate beyond float32": (
        ["--learning-rate", "1e39"],
        "learning_rate must be positive and finite in float32, got 1e+39",
    ),
    "learning rate that breaks the network": (
        ["--optimizer", "sgd", "--learning-rate", "1e38", "--epochs", "1"],
        "the loss of the training set is not finite after epoch 1",
    ),
    "batch size 0": (["--batch-size", "0"], "batch_size must be at least 1"),
    "report every 0": (
        ["--report-every", "0"],
        "report_every must be at least 1, got 0",
    ),
    "seed below 0": (["--seed", "-1"], "seed must lie in 0..2**32-1, got -1"),
    "no gpu": (["--device", "gpu"], "device gpu: jax sees no GPU here"),
    "output is a file": (
        ["--output-dir", "file"],
        "file could not be written: file is not a folder; name another, or remove it.",
    ),
    "output in a file": (
        ["--output-dir", "file/run"],
        "file/run could not be written: file is not a folder; name another",
    ),
    "output a link to nothing": (
        ["--output-dir", "link/run"],
        "link/run could not be written: link is a link that leads nowhere; name another",
    ),
    "output in /proc": (
        ["--output-dir", "/proc/run"],
        "/proc/run could not be written: ",
    ),
    "layer beyond memory": (
        ["--hidden", "2000000000"],
        "at most 2,147,483,647 are allowed",
    ),
}


@pytest.mark.parametrize("argv, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(argv, message, capsys):

    if "--device" in argv and jax.default_backend() == "gpu":
        pytest.skip("needs a machine without a GPU")
    Path("file").write_text("")
    Path("link").symlink_to("nothing")
    argv = [*(["--dataset", "digits"] if "--data" not in " ".join(argv) else []), *argv]
    if "--output-dir" not in argv:
        argv += ["--output-dir", "run"]
    assert binary(*argv, "--no-plots") == 2
    told = capsys.readouterr().err
    assert (
        told.count("\n") == 1
        and told.startswith("train_binary.py: ")
        and message in told
    )
    assert "train_binary.py" not in told.removeprefix("train_binary.py: ")
    assert not Path("run/metrics.json").exists()


def test_a_jax_without_devices_is_one_line():
    done = run_script("train_binary.py", *SHORT, JAX_PLATFORMS="cuda")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "device auto: jax could start no device" in done.stderr


@pytest.mark.slow
def test_standard_output_may_be_closed():
    script = SCRIPTS / "train_binary.py"
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, str(script), *SHORT],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert metrics()["test"]["count"] == 71


@pytest.mark.slow
def test_what_jax_may_forbid_is_not_forbidden_to_a_script():
    forbidden = {
        "JAX_TRANSFER_GUARD": "disallow",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    }
    done = run_script("train_binary.py", *SHORT, "--dropout", "0.5", **forbidden)
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_words_on_the_command_line_end_with_2(capsys):
    for argv in (["--no-such-flag"], ["--epochs", "ten"], ["--recipe", "e"]):
        with pytest.raises(SystemExit) as ended:
            binary(*argv)
        assert ended.value.code == 2
    assert "no-such-flag" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, said",
    [
        (
            ["--sed", "1"],
            "Unrecognized options: --sed, 1; perhaps --seed or --seeds is m",
        ),
        (
            ["--optimizer", "adagrd"],
            "invalid choice 'adagrd' for argument '--optimizer'.",
        ),
        (["--epochs", "ten"], "--epochs takes an integer, got 'ten'; --help"),
        (["--learning-rate", "x"], "--learning-rate takes a number, got 'x'; --help"),
        (["--costs", "1"], "--costs takes two numbers or None, got '1'; --help"),
        (["--costs"], "--costs takes two numbers or None, got none; --help"),
        (
            ["--class-weights", "1", "b"],
            "--class-weights takes balanced, one or more numbers or None, got '1', 'b'; --help",
        ),
        (
            ["--hidden", "64-32"],
            "--hidden takes one or more integers, got '64-32'; --help",
        ),
        (
            ["--threshold", "x"],
            "--threshold takes accuracy, f1, balanced, a number or None, got 'x'; --help",
        ),
        (
            ["--epochs"],
            "Missing value for argument '--epochs'. Expected 1 values; --help",
        ),
    ],
)
def test_a_wrong_word_is_one_line(argv, said, capsys):
    with pytest.raises(SystemExit):
        binary(*argv)
    told = capsys.readouterr().err
    assert told.startswith(f"train_binary.py: {said}") and told.count("\n") == 1


def test_a_finished_run_is_kept_unless_overwrite_says_so(capsys):
    assert binary(*SHORT) == 0
    kept = metrics()
    assert binary(*SHORT, "--seed", "1") == 2
    assert "run holds a run already" in capsys.readouterr().err
    assert metrics() == kept
    assert binary(*SHORT, "--seed", "1", "--overwrite") == 0
    assert metrics()["config"]["flags"]["seed"] == 1 and len(history()) == 4


def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_whole(
    capsys, monkeypatch
):
    real, calls = os.fsync, []

    def full_in_the_third_epoch(descriptor):
        calls.append(descriptor)
        # One call to see whether folders can be flushed, two for config.json; for each epoch one for its line and four for its checkpoint.
        if len(calls) > 1 + 2 + 2 * 5 + 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_in_the_third_epoch)
    assert binary(*SHORT, "--report-every", "1") == 2
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"train_binary\.py: run/\S+ could not be written: No space left.*\n", told
    )
    assert sorted(os.listdir("run")) == ["checkpoints", "config.json", "history.jsonl"]
    assert sorted(Path("run/checkpoints").glob("*.json")) == [
        Path(f"run/checkpoints/epoch-000000000{epoch}.json") for epoch in (1, 2)
    ]
    assert [record["epoch"] for record in history()] == [1, 2, 3]
    monkeypatch.setattr(os, "fsync", real)
    assert binary("--resume", "run") == 0
    assert binary(*SHORT[:-1], "straight", "--report-every", "1") == 0
    for name in ("model.safetensors", "history.jsonl"):
        assert Path("run", name).read_bytes() == Path("straight", name).read_bytes()


def test_a_loss_that_is_not_finite_is_said_and_what_was_good_is_kept(capsys):
    x = np.full((4, 2), 1e19, np.float32) * np.array([[1], [-1], [1], [-1]], np.float32)
    np.savez("own.npz", x_train=x, y_train=[0, 1, 1, 0], x_test=x, y_test=[0, 1, 0, 1])
    flags = ("--dataset", "own.npz", "--optimizer", "sgd", "--learning-rate", "1e10")
    assert binary(*flags, "--no-plots", "--output-dir", "run") == 2
    told = capsys.readouterr().err
    scale, error = told.splitlines()
    assert "far from the size of 1" in scale
    assert "the loss is not finite from step 1 of epoch" in error
    assert not Path("run/metrics.json").exists()


def test_a_thread_may_train():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(binary(*SHORT)))
    thread.start()
    thread.join()
    assert codes == [0]


def test_paths_in_the_config_are_whole(monkeypatch):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    np.savez("own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert binary("--dataset", "own.npz", *SHORT[2:]) == 0
    flags = metrics()["config"]["flags"]
    assert flags["dataset"] == str(Path("own.npz").absolute())
    assert flags["data_dir"] is None and "output_dir" not in flags


def test_a_terminal_shows_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert binary(*SHORT) == 0
    shown = capsys.readouterr().out
    assert "100%" in shown and "4/4" in shown and "loss 0." in shown
    assert "epoch 4/4" not in shown


def test_what_jax_cannot_run_is_one_line(monkeypatch, capsys):
    def fail(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nwhile ...")

    monkeypatch.setattr(train, "fit", fail)
    assert binary(*SHORT) == 2
    told = capsys.readouterr().err
    assert told == (
        "train_binary.py: jax could not run this: RESOURCE_EXHAUSTED: Out of memory while ...\n"
    )


def test_a_run_leaves_no_listener_behind():
    # Each would slow every later compilation in the process.
    from jax._src.monitoring import get_event_duration_listeners

    before = get_event_duration_listeners()
    assert binary(*SHORT) == 0
    assert binary(*SHORT) == 2
    assert get_event_duration_listeners() == before


@pytest.mark.slow
def test_compile_time_is_not_training_time():
    start = time.perf_counter()
    assert multiclass(*SHORT, "--hidden", "11") == 0
    total = time.perf_counter() - start
    seconds = metrics()["seconds"]
    assert seconds["compile"] > 0.05
    assert seconds["load"] + seconds["compile"] + seconds["train"] < total


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda x: (x * 3).astype(np.uint8), "bytes from 0 to 2, which are divided by"),
        (
            lambda x: x * [1, 1, 1, 900.0, 1],
            "column 3 of the training features has num",
        ),
        (lambda x: x * 1e-4, "far below the size of 1"),
        (lambda x: x * 10, None),
        (lambda x: (x * 255).astype(np.uint8), None),
    ],
)
def test_features_of_a_scale_that_can_not_work_are_told(change, sentence, capsys):
    x = np.random.default_rng(0).random((60, 5))
    y = np.arange(60) % 2
    x = change(x)
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    np.savez("own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = (
        "--dataset",
        "own.npz",
        "--epochs",
        "1",
        "--no-plots",
        "--output-dir",
        "run",
    )
    assert binary(*flags) == 0
    told = capsys.readouterr().err
    assert told == "" if sentence is None else sentence in told
    assert told.count("\n") == (sentence is not None)


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (
            ("--hidden", "--dropout", "0.5"),
            "without effect: --dropout 0.5, as there is",
        ),
        (
            ("--monitor", "accuracy"),
            "without effect: --monitor accuracy, as there is no",
        ),
        (("--split-seed", "4"), "without effect: --split-seed 4, as no validation set"),
    ],
)
def test_a_flag_that_does_nothing_is_told(flags, sentence, capsys):
    assert binary(*SHORT, "--no-plots", *flags) == 0
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        ("--epochs", "0"),
        ("--learning-rate", "nan"),
        ("--momentum", "0.9"),
        ("--dropout", "1.5"),
        ("--keep-checkpoints", "0"),
        ("--patience", "3", "--validation-fraction", "0"),
        ("--batch-size", "-1", "--seeds", "2"),
    ],
)
def test_a_wrong_flag_is_refused_before_the_data_are_looked_for(
    flags, monkeypatch, capsys
):
    def looked_for(*_, **__):
        raise AssertionError("the data were looked for")

    monkeypatch.setattr(loading, "load", looked_for)
    monkeypatch.setattr(loading, "load_mnist_or_digits", looked_for)
    assert binary(*flags) == 2
    assert capsys.readouterr().err.count("\n") == 1
