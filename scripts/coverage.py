"""Whether error bars are honest: how often do they hold the truth, and does a comparison cry wolf?

    python scripts/coverage.py                 # some 50,000 small trainings, minutes on two cores
    python scripts/coverage.py --short         # a look at whether it works

The job is scikit-learn's digits, 64-16-10. What is true is the mean of very many trainings:

- of seeds: accuracy on one split, over all seeds. Samples of 5, 10 and 32 of them each give the
  interval that `--seeds` prints.
- of folds: accuracy, on rows that were never looked at, of trainings on as many rows as the folds'
  trainings have. Of each of many sets of 300 rows, drawn from all digits, `--folds` gives its
  interval.
- of comparisons: A and B are one and the same training with other seeds, on the same splits. How
  often is one called the better?
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
import tyro

from jaxcls import Batch, Config, Hyperparams, categorical, fit_many, mlp
from jaxcls.cli.device import choose_devices, machine, versions
from jaxcls.comparisons import compare, honest_interval, split_summary
from jaxcls.data.splits import folds
from jaxcls.scores import summary

ROWS = 300  # of a set that is cut into folds
CONFIG = Config((64, 16, 10), categorical, batch_size=32, epochs=20)
HYPERPARAMS = Hyperparams(1e-2)
NOMINAL, MOST_OFF = 0.95, 0.02
FOLDS = ((5, 2), (10, 5))  # folds, and times that they are drawn


@dataclasses.dataclass(frozen=True)
class Flags:
    """Measure how often jaxcls's intervals hold the truth."""

    seeds: int = 10_000
    """Trainings on one split."""
    sets: int = 400
    """Sets of 300 rows, of each of which all folds are trained."""
    pairs: int = 1000
    """Pairs of equal trainings that are compared."""
    samples: int = 4000
    """Samples of seeds of which intervals are made."""
    short: bool = False
    """A few of each."""
    plot: Path | None = None
    """File for a picture of the table, a .png."""
    json: Path | None = None
    """File for all numbers."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """How often something happened, of so many times, and how often it should."""

    what: str
    times: int
    happened: int
    wanted: float

    @property
    def share(self) -> float:
        """The two, divided."""
        return self.happened / self.times

    def is_right(self) -> bool:
        """Within two points of what is wanted; a false alarm may also be rarer."""
        if self.wanted < 0.5:
            return self.share <= self.wanted + MOST_OFF
        return abs(self.share - self.wanted) <= MOST_OFF


class Digits:
    """The job: all digits as one pool of rows, and what is trained on some of them."""

    def __init__(self):
        from sklearn.datasets import load_digits

        x, y = map(np.asarray, load_digits(return_X_y=True))
        self.data = Batch((x / 16).astype(np.float32), y)
        self.devices = choose_devices("cpu")
        self.trained = 0

    def accuracies(self, seeds, train, test) -> np.ndarray:
        """Of trainings on rows of their own, on other rows of their own."""
        self.trained += len(seeds)
        runs = fit_many(
            *(seeds, CONFIG, HYPERPARAMS, self.data),
            train_rows=train,
            test_rows=test,
            devices=self.devices,
        )
        return np.asarray(runs.scores["test"].accuracy, np.float64)

    def some(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
        """Rows drawn at random, and all others."""
        order = rng.permutation(len(self.data.targets))
        return np.sort(order[:count]), np.sort(order[count:])


def of_seeds(digits: Digits, flags: Flags, rng: np.random.Generator) -> list[Rate]:
    """Coverage of the mean over seeds on one split."""
    train, test = digits.some(rng, ROWS)
    count = flags.seeds
    found = digits.accuracies(range(count), [train] * count, [test] * count)
    truth, rates = found.mean(), []
    for size in (5, 10, 32):
        held = 0
        for _ in range(flags.samples):
            each = summary(rng.choice(found, size, replace=False))
            low, high = honest_interval(each.low, each.high, each.mean, len(test))
            held += low <= truth <= high
        rates.append(Rate(f"{size} seeds", flags.samples, int(held), NOMINAL))
    _tell(f"one split: std {found.std(ddof=1):.4f} over {count:,} seeds")
    return rates


def predicted_spread(digits: Digits, rng: np.random.Generator, count: int) -> str:
    """The spread over seeds beside what one ensemble's votes foretell (K. Jordan, 2023).

    Where the share p_k of runs that say class k is also how often k is right, an example is right in
    a share p_y of the runs, and its variance over runs is p_y (1 - p_y): on average the sum over k of
    p_k^2 (1 - p_k). For examples that go wrong apart from each other, the variance of the accuracy of
    n is the mean of these over n; of two classes that is the error over 2 n.
    """
    train, test = digits.some(rng, ROWS)
    data = Batch(digits.data.features[train], digits.data.targets[train])
    runs = fit_many(range(count), CONFIG, HYPERPARAMS, data, devices=digits.devices)
    digits.trained += count
    assert runs.params is not None
    logits = jax.vmap(mlp.apply, in_axes=(0, None))(
        runs.params, digits.data.features[test]
    )
    guesses = np.asarray(logits).argmax(axis=-1)
    shares = (guesses[..., None] == np.arange(10)).mean(axis=0)
    foretold = np.sqrt((shares**2 * (1 - shares)).sum(axis=1).mean() / len(test))
    measured = (guesses == digits.data.targets[test]).mean(axis=1).std(ddof=1)
    return (
        f"spread of accuracy over {count:,} seeds: {measured:.4f}; foretold by their votes (K. "
        f"Jordan, arXiv 2304.01910): {foretold:.4f}"
    )


def of_folds(
    digits: Digits, flags: Flags, rng: np.random.Generator, count: int, repeats: int
) -> Rate:
    """Coverage of the accuracy that training on as many rows gives on others."""
    sets = [digits.some(rng, ROWS) for _ in range(flags.sets)]
    train, test = [], []
    for number, (rows, _) in enumerate(sets):
        splits = folds(digits.data.targets[rows], count, number, repeats=repeats)
        train += [rows[each] for each in splits.train]
        test += [rows[each] for each in splits.test]
    found = digits.accuracies(range(len(train)), train, test)
    # The truth: trainings on the first folds, scored on all that is in no fold of the set.
    first = slice(None, None, count * repeats)
    rest = [others for _, others in sets]
    truth = digits.accuracies(range(len(train))[first], train[first], rest).mean()
    held = 0
    for each in found.reshape(len(sets), count * repeats):
        spread = split_summary(each, 1 / (count - 1))
        low, high = honest_interval(spread.low, spread.high, spread.mean, ROWS // count)
        held += low <= truth <= high
    what = f"{count} folds, {repeats} times"
    _tell(f"{what}: truth {truth:.4f}, mean of the folds {found.mean():.4f}")
    return Rate(what, len(sets), int(held), NOMINAL)


def of_pairs(digits: Digits, flags: Flags, rng: np.random.Generator) -> list[Rate]:
    """How often one of two that are equal is called the better."""
    count, repeats = FOLDS[0]
    train, test = [], []
    for number in range(flags.pairs):
        rows, _ = digits.some(rng, ROWS)
        splits = folds(digits.data.targets[rows], count, number, repeats=repeats)
        train += [rows[each] for each in splits.train]
        test += [rows[each] for each in splits.test]
    first = digits.accuracies(range(len(train)), train, test)
    other = digits.accuracies(range(len(train), 2 * len(train)), train, test)
    found = [
        compare(a, b, 1 / (count - 1))
        for a, b in zip(
            first.reshape(flags.pairs, -1), other.reshape(flags.pairs, -1), strict=True
        )
    ]
    level = 1 - NOMINAL
    return [
        Rate(
            f"false alarms of compare.py, {name}, {count} folds, {repeats} times",
            flags.pairs,
            int(sum(getattr(each, field) < level for each in found)),
            level,
        )
        for name, field in (
            ("corrected t", "p_value"),
            ("sign flips", "p_permutation"),
        )
    ]


def table(rates: list[Rate]) -> list[str]:
    """The rates in Markdown; those that are not as promised say so."""
    lines = ["| what | of | share | wanted | |", "| --- | --- | --- | --- | --- |"]
    for each in rates:
        said = "" if each.is_right() else "NOT as promised"
        lines.append(
            f"| {each.what} | {each.times:,} | {each.share:.3f} | {each.wanted:.2f} | {said} |"
        )
    return lines


def picture(rates: list[Rate], path: Path) -> None:
    """The coverages as dots with the intervals of their own counts, beside 95%."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from jaxcls.scores import accuracy_interval

    shown = [each for each in rates if each.wanted == NOMINAL][::-1]
    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    for place, each in enumerate(shown):
        low, high = accuracy_interval(each.happened, each.times)
        axes.plot([low, high], [place, place], color="C0")
        axes.plot([each.share], [place], "o", color="C0")
    axes.axvline(NOMINAL, color="0.4", linestyle=":")
    axes.axvspan(NOMINAL - MOST_OFF, NOMINAL + MOST_OFF, color="0.9", zorder=0)
    axes.set_yticks(range(len(shown)), [each.what for each in shown])
    axes.set(xlabel="share of intervals that hold the truth", title="95% intervals")
    figure.savefig(path, dpi=150)


def _tell(text: str) -> None:
    print(f"coverage.py: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    flags = tyro.cli(Flags, prog="coverage.py", args=argv)
    if flags.short:
        flags = dataclasses.replace(flags, seeds=64, sets=4, pairs=6, samples=50)
    least = min(flags.sets, flags.pairs, flags.samples)
    if flags.seeds < 32 or least < 2:
        _tell("--seeds must be at least 32, and --sets, --pairs and --samples 2.")
        return 2
    start, rng, digits = time.perf_counter(), np.random.default_rng(0), Digits()
    rates = of_seeds(digits, flags, rng)
    rates += [of_folds(digits, flags, rng, *each) for each in FOLDS]
    rates += of_pairs(digits, flags, rng)
    spread = predicted_spread(digits, rng, min(flags.seeds, 1000))
    seconds = time.perf_counter() - start
    print(*table(rates), "", spread, sep="\n")
    print(
        f"\n{digits.trained:,} trainings in {seconds:,.0f} s on {machine()}; "
        + ", ".join(f"{name} {version}" for name, version in versions().items())
    )
    if flags.plot is not None:
        picture(rates, flags.plot)
    if flags.json is not None:
        found = [dataclasses.asdict(each) | {"share": each.share} for each in rates]
        flags.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
