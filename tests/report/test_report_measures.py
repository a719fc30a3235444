"""What a result measures, with its interval: of any `metrics.json`."""

from jaxcls.report.measures import Measure, measures, shown
from jaxcls.scores import accuracy_interval

SUMMARY = {"mean": 0.9, "std": 0.1, "low": 0.8, "high": 1.0}
SUMMARY |= {"least": 0.7, "greatest": 1.0}


def test_one_run():
    test = {"loss": 0.5, "accuracy": 0.9, "correct": 90, "count": 100}
    found = measures({"test": test, "train": test, "validation": None, "num_test": 100})
    assert list(found) == ["test accuracy", "test loss", "train accuracy", "train loss"]
    want = Measure(0.9, accuracy_interval(90, 100), "90 of 100 right")
    assert found["test accuracy"] == want
    assert found["test loss"] == Measure(0.5, None, "")


def test_several_seeds_and_their_ensemble():
    unsure = {"right": {"total": 0.1}, "wrong": None}
    test = {"count": 10, "correct": 9, "accuracy": 0.9, "num_networks": 3}
    metrics = {"train": {"accuracy": SUMMARY}, "test": {"accuracy": SUMMARY}}
    metrics |= {"ensemble": {"test": test | {"uncertainty": unsure}}}
    found = measures(metrics)
    assert list(found) == [
        "test accuracy",
        "ensemble test accuracy",
        "ensemble test uncertainty right total",
        "train accuracy",
    ]
    told = "0.9000, 95% interval 0.8000 to 1.0000; std 0.1000, range 0.7000 to 1.0000"
    assert str(found["test accuracy"]) == told


def test_folds_come_before_their_parts():
    predictions = {"count": 4, "correct": 3, "accuracy": 0.75, "confusion": [[2, 1]]}
    predictions |= {"accuracy_interval": [0.3, 0.95]}
    held = {"ratio": 0.5, "accuracy": SUMMARY, "predictions": predictions}
    alone = SUMMARY | {"low": None, "high": None}
    found = measures({"train": {"accuracy": alone}, "held_out": held})
    assert next(iter(found)) == "held-out accuracy"
    assert found["held-out predictions accuracy"].interval == (0.3, 0.95)
    assert found["train accuracy"].interval is None


def test_numbers_and_what_comes_later():
    coverage = {"inside": 19, "count": 20, "share": 0.95, "interval": [0.76, 0.99]}
    test = {"r_squared": 0.5, "r_squared_interval": [0.4, 0.6], "rmse": 54.12}
    metrics = {"test": test | {"rmse_interval": None, "coverage": coverage}}
    metrics |= {"calibration": {"temperature": 1.25, "by": "validation"}}
    found = {name: str(each) for name, each in measures(metrics).items()}
    assert found == {
        "test R squared": "0.5000, 95% interval 0.4000 to 0.6000",
        "test RMSE": "54.12",
        "test coverage share": "0.9500, 95% interval 0.7600 to 0.9900; 19 of 20 inside",
        "calibration temperature": "1.2500",
    }


def test_no_scores():
    assert measures({"train": None, "test": None, "config": {"seed": 1}}) == {}
    assert shown(-0.5) == "-0.5000"
