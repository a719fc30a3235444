"""scripts/benchmark.py: its figures by hand, and a short benchmark as a whole."""

import dataclasses
import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
SCRIPT = SCRIPTS / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def common(benchmark):
    return sys.modules["peers.common"]


@pytest.fixture(scope="module")
def tables(benchmark):
    return sys.modules["peers.tables"]


@pytest.fixture(scope="module")
def with_jaxcls():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS / "peers")
        yield importlib.import_module("with_jaxcls")


@pytest.fixture
def many_jobs(common):
    """Three small networks, whose few labels follow no rule: each run is right elsewhere."""
    job = dataclasses.replace(common.JOBS["sweep"], layer_sizes=(4, 3, 1), models=3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = rng.integers(2, size=200).astype(np.int32)
    data = common.Data(x, y, x[::2], y[::2])
    job = dataclasses.replace(job, epochs=2, score_every=2)
    return dataclasses.replace(job, learning_rates=(0.03, 3.0)), data


def record(round, **what):
    common = {"section": "train", "job": "A", "round": round, "compile_seconds": None}
    common |= {"train_accuracy": 0.9, "test_accuracy": 0.9, "dense_gflops": 1234.4}
    return common | {"peak_mb": 1000.0, "cores_of_others": 0.0} | what


@pytest.fixture
def folder(tmp_path, common):
    for name in common.FILES:
        (tmp_path / name).touch()
    return tmp_path


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, cwd=cwd
    )


def test_section_a_needs_637_gflop_and_its_scores(common):
    job = common.JOBS["A"]
    # Forward and the gradient of each kernel, and back through the last layer.
    step = 12_665 * (2 * 2 * (784 * 32 + 32 * 1) + 2 * 32 * 1)
    scores = 10 * 12_665 * 2 * (784 * 32 + 32 * 1)
    assert round(500 * step / 1e9) == 637
    assert common.dense_flop(job, 500, 12_665, 2_115) == 500 * step + scores


def test_a_target_is_scored_on_the_test_set(common):
    step = 60_000 * (4 * (784 * 128 + 128 * 10) + 2 * 128 * 10)
    scores = 10_000 * 2 * (784 * 128 + 128 * 10)
    flop = common.dense_flop(common.JOBS["T"], 3, 60_000, 10_000)
    assert flop == 3 * (step + scores)


def test_the_operations_of_many_models_are_counted(common):
    # One epoch, and one score.
    step = 12_665 * (2 * 2 * (784 * 32 + 32 * 1) + 2 * 32 * 1)
    score = 12_665 * 2 * (784 * 32 + 32 * 1)
    flop = common.dense_flop(common.JOBS["sweep"], 1, 12_665, 2_115)
    assert flop == 64 * (step + score)


def test_each_model_has_a_seed_and_a_learning_rate_of_its_own(common):
    job = dataclasses.replace(
        common.JOBS["sweep"], models=3, learning_rates=(1e-4, 1e-2)
    )
    trained = []

    def train(job, data, seed):
        trained.append((seed, *job.learning_rates, job.models))
        return common.Trained([seed, 2.0 * seed], lambda x, y: 10.0 * seed)

    result = common.one_after_another(train)(job, None, 5)
    np.testing.assert_allclose(
        trained,
        [(5, 1e-4, 1e-4, 1), (6, 1e-3, 1e-3, 1), (7, 1e-2, 1e-2, 1)],
        rtol=1e-12,
    )
    assert result.accuracies == [6.0, 12.0]
    assert result.score(None, None) == 60.0
    assert common.rates(common.JOBS["seeds"]) == [common.LEARNING_RATE] * 32


@pytest.mark.slow
def test_many_models_are_those_that_are_trained_one_after_another(
    common, with_jaxcls, many_jobs
):
    job, data = many_jobs
    test = data.x_test, data.y_test
    together = with_jaxcls.train(job, data, 1)
    one_by_one = common.one_after_another(with_jaxcls.train)(job, data, 1)
    np.testing.assert_allclose(together.accuracies, one_by_one.accuracies, rtol=1e-6)
    np.testing.assert_allclose(together.score(*test), one_by_one.score(*test))


@pytest.mark.slow
def test_scores_alone_are_those_of_whole_models(with_jaxcls, many_jobs):
    job, data = many_jobs
    # Which begins with jaxcls's own weights in either case.
    job = dataclasses.replace(job, optimizer="adam")
    whole = with_jaxcls.train(job, data, 1)
    scores = with_jaxcls.train(dataclasses.replace(job, scores_only=True), data, 1)
    np.testing.assert_allclose(scores.accuracies, whole.accuracies, rtol=1e-6)
    assert scores.score is None


def test_a_first_round_is_a_part_of_the_same_program(
    with_jaxcls, many_jobs, monkeypatch
):
    job, data = many_jobs
    job = dataclasses.replace(job, models=9, scores_only=True)
    calls = []

    def train_members(members, width, *_, mesh, chunks, **__):
        calls.append((len(members.seeds), width, mesh.size, list(chunks)))
        metrics = with_jaxcls.jaxcls.Metrics(
            np.ones(width), np.ones(width), np.full(width, 4)
        )
        runs = with_jaxcls.jaxcls.Runs(*4 * [None], {"train": metrics}, *2 * [None])
        return dict.fromkeys(chunks, runs)

    monkeypatch.setattr(with_jaxcls, "train_members", train_members)
    with_jaxcls.first_round(job, data, 1)
    assert with_jaxcls.train(job, data, 1).accuracies == [0.25]
    (*first, chunks), (*whole, all_chunks) = calls
    assert first == whole
    _, width, devices = first
    assert chunks == list(range(devices))
    assert all_chunks == list(range(-(-9 // width)))


def test_images_of_the_classes_come_one_class_after_the_other(common, tmp_path):
    images = np.arange(4, dtype=np.uint8)[:, None].repeat(784, axis=1)
    for name in common.FILES:
        body = images if "images" in name else np.array([1, 7, 0, 1], np.uint8)
        header = bytes(16 if "images" in name else 8)
        (tmp_path / name).write_bytes(gzip.compress(header + body.tobytes()))
    data = common.read_mnist(tmp_path, common.JOBS["A"])
    np.testing.assert_array_equal(data.y_train, [0, 1, 1])
    np.testing.assert_array_equal(data.x_test[:, 0] * 255, [2, 0, 3])
    assert data.x_train.dtype == np.float32
    assert len(common.read_mnist(tmp_path, common.JOBS["T"]).y_test) == 4


@pytest.mark.parametrize(
    "values, want",
    [
        ([3.0, 1.0, 2.0], "2.00 (1.00-3.00)"),
        ([0.0123, 0.0123], "0.0123"),
        ([12_345.6, 12_345.6], "12,346"),
        ([7, 8, 6], "7 (6-8)"),
        ([None], "-"),
    ],
)
def test_a_median_comes_with_its_range(tables, values, want):
    records = [{"round": i, "seconds": each} for i, each in enumerate(values)]
    assert tables.spread(records, "seconds") == want


def test_a_ratio_is_the_median_of_the_rounds(tables):
    mine = [record(i, s=each) for i, each in enumerate([1.0, 2.0, 1.0, None])]
    theirs = [record(i, s=each) for i, each in enumerate([3.0, 4.0, 9.0, 5.0])]
    assert tables.ratio(theirs, mine, "s") == "3.00x"
    assert tables.ratio(theirs[:1], mine[1:], "s") == "-"


@pytest.mark.parametrize("other, want", [(0.91, True), (0.889, False), (0.911, False)])
def test_times_are_compared_within_one_point_of_accuracy(tables, other, want):
    mine = [record(1), record(2)]
    assert tables.agree(mine, [record(1), record(2, test_accuracy=other)]) is want


def test_the_table_says_where_accuracies_differ(benchmark):
    measured = [
        record(1, who="jaxcls", train_seconds=2.0, compile_seconds=1.0),
        record(1, who="torch", train_seconds=5.0),
        record(1, who="sklearn", train_seconds=1.0, test_accuracy=0.5),
    ]
    machine = {"machine": "2 cores", "matmul_gflops": 90.0}
    machine |= {"versions": {"jax": "1"}, "date": "today", "command": "benchmark.py"}
    lines = benchmark.report(measured, machine).splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert rows == [
        "| jaxcls | 2.00 | 1.00x | 1.00 | 0.9000 | 0.9000 | 1,234 | 1,000 |",
        "| PyTorch | 5.00 | 2.50x | - | 0.9000 | 0.9000 | 1,234 | 1,000 |",
        "| scikit-learn | 1.00 | accuracies differ | - | 0.9000 | 0.5000 | 1,234 | 1,000 |",
    ]


@pytest.mark.parametrize("name", ["D", "sweep", "folds"])
def test_a_warm_up_is_the_job_in_short(common, name, monkeypatch, capsys):
    """Of a contestant that compiles nothing; folds of no learning rate are none."""
    trained, data = [], common.read_digits(all_of_them=True)

    def train(job, data, seed):
        trained.append(job)
        return common.Trained([0.5] * (job.epochs // job.score_every))

    monkeypatch.setattr(sys, "argv", ["with_it.py", name, "--data-dir", "."])
    common.main(train, ("numpy",), load=lambda folder, job: data)
    assert json.loads(capsys.readouterr().out)["accuracies"][0] == 0.5
    short, *whole = trained
    assert short.epochs == 1 and all(job == common.JOBS[name] for job in whole)
    assert short.models == (120 if name == "folds" else 1)
    if name == "folds":
        assert common.fold_rates(short) == common.fold_rates(whole[0])


def test_programs_are_told_with_their_seconds(tables):
    records = [
        record(round, programs={"train_epochs": 0.5 + round, "put": 0.01})
        for round in (1, 2)
    ]
    jobs = {"A": {"jaxcls": records, "torch": [record(1)]}, "M": {"torch": [record(1)]}}
    assert tables.programs_table(jobs).splitlines()[2:] == [
        "| A | `train_epochs` | 2.00 (1.50-2.50) |"
    ]
    assert tables.programs_table({"M": {"torch": [record(1)]}}) == ""


def test_the_contestants_take_turns(benchmark, tmp_path):
    flags = benchmark.Flags(tmp_path, jobs=("D",), repeats=2, only=("train",))
    runs = list(benchmark.plan(flags, ("torch", "nnx"), tmp_path))
    turns = [(run.about["round"], run.about["who"]) for run in runs]
    order = ("jaxcls", "torch", "nnx")
    assert turns == [(round, who) for round in (1, 2) for who in order]


@pytest.mark.parametrize(
    "job, want",
    [
        ("sweep", ["jaxcls", "torch", "torchfunc"]),
        ("D", ["jaxcls", "torch", "sklearn", "nnx"]),
        ("folds", ["jaxcls", "sklearn"]),
    ],
)
def test_who_trains_many_models_and_who_one(benchmark, tmp_path, job, want):
    flags = benchmark.Flags(tmp_path, jobs=(job,), repeats=1)
    runs = list(benchmark.plan(flags, tuple(benchmark.PEERS), tmp_path))
    trained = [run.about["who"] for run in runs if run.about["section"] == "train"]
    processes = {run.about["who"] for run in runs if run.about["section"] == "process"}
    assert trained == want
    assert processes <= {*want, benchmark.COLD} and bool(processes) is (job == "D")


def test_estimators_are_timed_on_each_set_in_turn(benchmark, tmp_path):
    flags = benchmark.Flags(tmp_path, jobs=("estimators", "accuracy"), repeats=2)
    peers = ("torch", "sklearn")
    runs = list(benchmark.plan(flags, peers, tmp_path))
    assert [tuple(run.about.values()) for run in runs[:4]] == [
        ("estimators", "digits", who, round)
        for round in (1, 2)
        for who in ("jaxcls", "sklearn")
    ]
    jobs = list(dict.fromkeys(run.about["job"] for run in runs))
    assert jobs == ["digits", "mnist", "search", "accuracy"]
    flags = dataclasses.replace(flags, table=Path("my.csv"), target="kind")
    runs = list(benchmark.plan(flags, peers, tmp_path))
    (first, *_) = [run for run in runs if run.about["job"] == "table"]
    assert first.command[-6:-2] == ("--table", "my.csv", "--target", "kind")
    assert runs[-1].command[-4:] == ("--table", "my.csv", "--target", "kind")


def test_ensembles_are_timed_on_a_table_of_numbers(benchmark, folder, capsys):
    flags = benchmark.Flags(folder, ("ensemble",), Path("a.csv"), "y", repeats=2)
    runs = list(benchmark.plan(flags, ("torch", "bde"), folder))
    assert [run.about["who"] for run in runs if run.about["section"] == "estimators"]
    timed = [run for run in runs if run.about["job"] == "ensemble"]
    assert [run.about["who"] for run in timed] == ["jaxcls", "bde"] * 2
    assert timed[1].command[1:] == (
        *("--who", "bde", "--table", "a.csv", "--target", "y", "--seed", "1"),
    )
    argv = ["--data-dir", str(folder), "--jobs", "ensemble", "--peers"]
    assert benchmark.main(argv) == 2
    assert "needs a --table" in capsys.readouterr().err
    table = folder / "a.csv"
    of_table = ["--table", str(table), "--target", "z"]
    assert benchmark.main([*argv, *of_table]) == 2
    assert capsys.readouterr().err == (
        f"benchmark.py: {table}: No such file or directory.\n"
    )
    table.write_text("x,y\n1,2\n")
    assert benchmark.main([*argv, *of_table]) == 2
    assert "has the columns x, y." in capsys.readouterr().err


def test_a_table_needs_its_target(benchmark, folder, capsys):
    argv = ["--data-dir", str(folder), "--peers", "--table", "my.csv"]
    assert benchmark.main(argv) == 2
    assert "--table and --target belong together" in capsys.readouterr().err


def test_estimators_have_tables_of_their_own(benchmark):
    of_digits = {"section": "estimators", "job": "digits", "cores_of_others": 0.0}
    measured = [
        of_digits
        | {"who": who, "round": 1, "first_seconds": first, "train_seconds": seconds}
        | {"predict_ms": 2.0, "test_accuracy": 0.9}
        for who, first, seconds in (("jaxcls", 1.0, 0.1), ("sklearn", 0.3, 0.25))
    ]
    wine = {"set": "wine", "jaxcls": 0.98, "sklearn": 0.97}
    wine |= {"difference": 0.01, "low": -0.002, "high": 0.022}
    measured.append(
        {"section": "accuracy", "job": "accuracy", "who": "jaxcls", "round": 1}
        | {"cores_of_others": 0.0, "seeds": 20, "sets": [wine]}
    )
    machine = {"machine": "2 cores", "matmul_gflops": 90.0}
    machine |= {"versions": {"jax": "1"}, "date": "today", "command": "benchmark.py"}
    lines = benchmark.report(measured, machine).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert rows == [
        "|  | first s | later s | / jaxcls | predict ms | test acc. |",
        "| --- | --- | --- | --- | --- | --- |",
        "| jaxcls | 1.00 | 0.100 | 1.00x | 2.00 | 0.9000 |",
        "| scikit-learn | 0.300 | 0.250 | 2.50x | 2.00 | 0.9000 |",
        "|  | jaxcls | scikit-learn | difference |",
        "| --- | --- | --- | --- |",
        "| wine | 0.9800 | 0.9700 | +1.00 (-0.20 to +2.20) |",
    ]


@pytest.mark.parametrize(
    "device, models, want",
    [
        ("cpu", None, (1, 64, 1024, 10_000)),
        ("gpu", None, (1, 64, 1024, 16_384)),
        ("cpu", (4, 2, 4), (4, 2)),
    ],
)
def test_each_number_of_models_is_a_process(benchmark, tmp_path, device, models, want):
    flags = benchmark.Flags(tmp_path, device=device, repeats=2, only=("models",))
    flags = dataclasses.replace(flags, models=models)
    runs = list(benchmark.plan(flags, ("torch",), tmp_path))
    assert [(each.about["round"], each.about["models"]) for each in runs] == [
        (round, number) for round in (1, 2) for number in want
    ]
    last = ("--models", str(want[-1]), "--scores-only")
    assert runs[-1].command[1] == "sweep" and runs[-1].command[-3:] == last
    assert str(runs[0]).startswith(f"models sweep jaxcls, round 1, models {want[0]}")


def test_models_per_second_are_in_both_tables(benchmark):
    many = {"job": "sweep", "who": "jaxcls"}
    measured = [
        record(1, **many, train_seconds=2.0, models_per_second=32.0),
        record(1, **many, section="models", models=1, train_seconds=0.5)
        | {"models_per_second": 2.0},
    ]
    measured += [
        record(round, **many, section="models", models=10_000, train_seconds=seconds)
        | {"models_per_second": 10_000 / seconds, "peak_mb": 700.0 + round}
        for round, seconds in enumerate([100.0, 200.0, 125.0], 1)
    ]
    machine = {"machine": "2 cores", "matmul_gflops": 90.0}
    machine |= {"versions": {"jax": "1"}, "date": "today", "command": "benchmark.py"}
    lines = benchmark.report(measured, machine).splitlines()
    rows = [line for line in lines if line.startswith("| jaxcls")]
    assert rows == [
        "| jaxcls | 2.00 | 1.00x | 32.0 | - | 0.9000 | 0.9000 | 1,234 | 1,000 |",
        "| jaxcls | 1 | 0.500 | 2.00 | 1,000 |",
        "| jaxcls | 10,000 | 125 (100-200) | 80.0 | 702 |",
    ]


def test_only_a_prepared_round_has_compiled_programs(benchmark, tmp_path):
    flags = benchmark.Flags(tmp_path, jobs=("A", "D"), repeats=2, only=("process",))
    runs = list(benchmark.plan(flags, (), tmp_path))
    caches = [run.cache for run in runs if run.about["who"] == benchmark.COLD]
    assert len(set(caches)) == len(caches) == 4
    warm = [run for run in runs if run.about["who"] == "jaxcls"]
    assert {run.cache for run in warm} == {tmp_path / "warm"}
    assert [run.about["round"] for run in warm] == [0, 1, 2] * 2
    assert len({run.command for run in runs}) == len(runs)


def test_a_run_is_measured_once_for_both_tables_of_scaling(benchmark, tmp_path):
    flags = benchmark.Flags(tmp_path, repeats=1, only=("scale",), scale=(1, 2))
    sizes = [
        (run.about["copies"], run.about["epochs"])
        for run in benchmark.plan(flags, (), tmp_path)
    ]
    assert sizes == [(1, 50), (2, 50), (1, 100), (1, 200)]


def test_a_failed_process_ends_it_with_what_was_measured(
    benchmark, folder, monkeypatch, capsys
):
    done = record(1, who="jaxcls", train_seconds=2.0, process_seconds=3.0)

    def measure(run):
        if run.about["who"] == "jaxcls":
            return done
        return benchmark.output_of(("-c", "raise SystemExit('no memory')"))

    monkeypatch.setattr(benchmark, "measure", measure)
    machine = {"machine": "2 cores", "matmul_gflops": 90.0}
    machine |= {"versions": {}, "date": "today", "command": "benchmark.py"}
    monkeypatch.setattr(benchmark, "about_machine", lambda *_: machine)
    file = folder / "all.json"
    argv = ["--data-dir", str(folder), "--peers", "sklearn", "--json", str(file)]
    assert benchmark.main(argv) == 1
    said = capsys.readouterr()
    assert "| jaxcls | 2.00 |" in said.out
    assert said.err.endswith("no memory\n")
    assert json.loads(file.read_text())["measured"] == [done]


def test_ctrl_c_ends_it_with_one_line(benchmark, folder, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "about_machine", stop)
    assert benchmark.main(["--data-dir", str(folder), "--peers"]) == 130
    assert capsys.readouterr().err == "benchmark.py: interrupted.\n"


def test_a_peer_that_is_missing(benchmark, folder, monkeypatch, capsys):
    peers = benchmark.PEERS | {"torch": "no_such_package"}
    del peers["torchfunc"]  # of the same package
    monkeypatch.setattr(benchmark, "PEERS", peers)
    flags = benchmark.Flags(folder, peers=None)
    assert benchmark.checked(flags)[1] == ("sklearn", "nnx")
    assert capsys.readouterr().err == (
        "benchmark.py: torch is left out: it is not installed.\n"
    )
    assert benchmark.main(["--data-dir", str(folder), "--peers", "torch"]) == 2
    assert capsys.readouterr().err.startswith("benchmark.py: torch is not installed")


def test_scikit_learn_has_no_gpu(benchmark, folder, capsys):
    flags = benchmark.Flags(folder, device="gpu")
    assert "sklearn" not in benchmark.checked(flags)[1]
    argv = ["--data-dir", str(folder), "--device", "gpu", "--peers", "sklearn"]
    assert benchmark.main(argv) == 2
    assert "sklearn trains on the CPU alone" in capsys.readouterr().err


def test_missing_data_is_one_line(tmp_path):
    done = run("--data-dir", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"benchmark.py: data folder {tmp_path}: lacks train")
    assert done.stderr.count("\n") == 1


def test_a_number_of_models_that_is_none(benchmark, folder, capsys):
    argv = ["--data-dir", str(folder), "--peers", "--models", "4", "0"]
    assert benchmark.main(argv) == 2
    assert "--models must be at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_short_benchmark_as_a_whole(mnist_dir, tmp_path):
    file = tmp_path / "all.json"
    done = run(
        *("--data-dir", mnist_dir, "--jobs", "D", "--peers", "sklearn"),
        *("--repeats", "1", "--json", file),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for title in ("### Training", "### Whole processes", "### Machine"):
        assert title in done.stdout
    measured = json.loads(file.read_text())["measured"]
    assert [(each["section"], each["who"]) for each in measured] == [
        ("train", "jaxcls"),
        ("train", "sklearn"),
        ("process", "jaxcls"),
        ("process", "jaxcls"),
        ("process", "jaxcls, cold"),
        ("process", "sklearn"),
    ]
    assert measured[0]["test_accuracy"] == pytest.approx(0.9953, abs=1e-3)
    assert measured[0]["programs"]["train_epochs"] > 0.05
    assert "| D | `train_epochs` | " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["all.json"]


@pytest.mark.slow
def test_a_short_benchmark_of_many_models(mnist_dir, tmp_path):
    file = tmp_path / "all.json"
    done = run(
        *("--data-dir", mnist_dir, "--jobs", "sweep", "--peers", "--repeats", "1"),
        *("--only", "train", "models", "--models", "1", "6", "--json", file),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "### Training" in done.stdout and "### Many models" in done.stdout
    all_of_them, one, six = json.loads(file.read_text())["measured"]
    assert all_of_them["test_accuracy"] == pytest.approx(0.9714, abs=2e-3)
    assert (one["models"], six["models"]) == (1, 6)
    assert six["models_per_second"] == pytest.approx(6 / six["train_seconds"])
