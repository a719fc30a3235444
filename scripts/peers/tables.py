"""The tables of scripts/benchmark.py, as Markdown, out of the records of its runs."""

import collections
import math
from collections.abc import Callable
from statistics import median

from peers.common import ESTIMATORS, JOBS  # pyrefly: ignore[missing-import]

SCALED, SCALED_EPOCHS = "A", (50, 100, 200)
COUNTED = "sweep"
FELT = 0.05  # seconds, below which a program is not told of
AGREE = 0.01  # of test accuracy, within which times are compared
COLD = "jaxcls, cold"
TITLES = {
    "jaxcls": "jaxcls",
    "torch": "PyTorch",
    "torchfunc": "PyTorch, torch.func",
    "sklearn": "scikit-learn",
    "nnx": "flax.nnx",
    "bde": "sklearn-contrib-bde",
    COLD: "jaxcls, nothing compiled before",
}

HEADS = {
    "train": "Training",
    "process": "Whole processes",
    "scale": "Scaling",
    "models": "Many models",
    "estimators": "Estimators",
    "accuracy": "Accuracy of the estimators",
}
NOTES = {
    "train": (
        "Training is all from NumPy arrays to the last score, after a first run (whole where "
        "programs are compiled: `compile s` is what it took longer). Test accuracy is scored "
        "after the clock has stopped, save in T; a job of less than 1 s is timed up to 5 "
        "times, and the median counts. `GFLOP/s` counts the matrix products as if "
        "every input were multiplied; jaxcls may skip zeros. `MB` is the most that the "
        "process held, data and libraries included. A ratio is the median over the rounds, "
        f"and is shown where all test accuracies come within {100 * AGREE:g} percentage "
        "point of jaxcls's. scikit-learn has no dropout: its D trains without."
    ),
    "process": (
        "From the command to its result, with imports, data and compilation. jaxcls is "
        "`scripts/train_binary.py --recipe a` or `d`, which also checks the data's SHA-256 "
        "and writes a run's folder with checkpoints; its compiled programs are kept from an "
        "earlier run, save where the line says otherwise. The others are "
        "`scripts/peers/with_*.py JOB --once`; flax.nnx compiles each time."
    ),
    "scale": (
        f"jaxcls's job {SCALED} with its rows repeated, {SCALED_EPOCHS[0]} epochs; then as it is, "
        "with more epochs. `MB` as above."
    ),
    "models": (
        f"jaxcls's job `{COUNTED}` with more models or fewer, each number in a process of its own: "
        "all from NumPy arrays to the last score on the training set, after as many models as "
        "are trained at a time, which compiles the program. The models' first weights are drawn "
        "by jaxcls, and of each its scores alone are kept, as in a sweep. `MB` is the most that "
        "the process held, data and libraries included."
    ),
    "estimators": (
        "`jaxcls.sklearn` and scikit-learn's own `MLPClassifier`, all epochs of each. The first fit is "
        "that of a process in which nothing is compiled; later ones are of the same process. Of ten "
        "networks as one model the other is sklearn-contrib-bde, without the sampling that follows."
    ),
    "accuracy": (
        "Of `jaxcls.sklearn` and scikit-learn's own with the same settings; the difference is "
        "jaxcls's less the other's."
    ),
}

PROGRAMS = (
    "What `compile s` is made of: the seconds in which jax traced, lowered and compiled the "
    f"programs of each name, with nothing kept; those below {FELT:g} s are left out."
)

Records = dict[str, list[dict]]  # of each contestant
Cell = Callable[[Records, str], str]  # of a contestant's row


def number(value: float) -> str:
    """Three digits, or more before the point; a count as it is.

    >>> number(0.12345), number(12.345), number(12345.6), number(7)
    ('0.123', '12.3', '12,346', '7')
    """
    if isinstance(value, int):
        return f"{value:,}"
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, 2 - size)}f}"


def by_round(records: list[dict], name: str) -> dict[int, float]:
    return {each["round"]: each[name] for each in records if each[name] is not None}


def spread(records: list[dict], name: str) -> str:
    """Median and range, or a dash where nothing was measured."""
    values = sorted(by_round(records, name).values())
    if not values:
        return "-"
    if values[0] == values[-1]:
        return number(values[0])
    return f"{number(median(values))} ({number(values[0])}-{number(values[-1])})"


def ratio(above: list[dict], below: list[dict], name: str) -> str:
    """The median of the rounds' ratios."""
    tops, bottoms = by_round(above, name), by_round(below, name)
    ratios = [tops[round] / bottoms[round] for round in tops.keys() & bottoms.keys()]
    return f"{number(median(ratios))}x" if ratios else "-"


def agree(mine: list[dict], theirs: list[dict]) -> bool:
    """Whether the test accuracies of each round are close enough to compare times."""
    ours, others = (by_round(each, "test_accuracy") for each in (mine, theirs))
    rounds = ours.keys() & others.keys()
    # With room for the rounding of the difference.
    return all(abs(ours[each] - others[each]) <= AGREE + 1e-9 for each in rounds)


def ranged(name: str) -> Cell:
    return lambda whose, who: spread(whose[who], name)


def middle(name: str, form: Callable[[float], str] = number) -> Cell:
    return lambda whose, who: form(median(each[name] for each in whose[who]))


def against(name: str) -> Cell:
    """How many times longer a contestant takes than jaxcls, if both reach the same."""

    def cell(whose: Records, who: str) -> str:
        if not agree(whose["jaxcls"], whose[who]):
            return "accuracies differ"
        return ratio(whose[who], whose["jaxcls"], name)

    return cell


COST: list[tuple[str, Cell]] = [
    ("compile s", ranged("compile_seconds")),
    ("train acc.", middle("train_accuracy", "{:.4f}".format)),
    ("test acc.", middle("test_accuracy", "{:.4f}".format)),
    ("GFLOP/s", middle("dense_gflops")),
    ("MB", middle("peak_mb")),
]
TRAINING = [
    ("train s", ranged("train_seconds")),
    ("/ jaxcls", against("train_seconds")),
    *COST,
]
TRAINING_MANY = [
    *TRAINING[:2],
    ("models / s", middle("models_per_second")),
    *COST,
]
TO_TARGET = [
    ("s / epoch", ranged("epoch_seconds")),
    ("/ jaxcls", against("epoch_seconds")),
    ("epochs", ranged("epochs")),
    ("s to 97.5%", ranged("target_seconds")),
    ("/ jaxcls", against("target_seconds")),
    *COST,
]
PROCESS = [
    ("s", ranged("process_seconds")),
    # Here the question is how near jaxcls comes, hence its time is divided by theirs.
    ("jaxcls / it", lambda w, who: ratio(w["jaxcls"], w[who], "process_seconds")),
]


ESTIMATING = [
    ("first s", ranged("first_seconds")),
    ("later s", ranged("train_seconds")),
    ("/ jaxcls", against("train_seconds")),
    ("predict ms", ranged("predict_ms")),
    ("test acc.", middle("test_accuracy", "{:.4f}".format)),
]


def table(whose: Records, columns: list[tuple[str, Cell]]) -> str:
    rows = [[TITLES[who], *(cell(whose, who) for _, cell in columns)] for who in whose]
    return markdown(["", *(head for head, _ in columns)], rows)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def programs_table(jobs: dict[str, Records]) -> str:
    """How long jaxcls's programs take to trace, lower and compile, where one feels it."""
    rows = []
    for job, whose in jobs.items():
        records = [each for each in whose.get("jaxcls", []) if "programs" in each]
        names = dict.fromkeys(name for each in records for name in each["programs"])
        for name in names:
            same = [each | {name: each["programs"].get(name)} for each in records]
            if max(by_round(same, name).values()) >= FELT:
                rows.append([job, f"`{name}`", spread(same, name)])
    return markdown(["job", "program", "s"], rows) if rows else ""


def scaling_tables(whose: Records) -> str:
    """More rows, and more epochs."""
    rows, longer = [], []
    for who, records in whose.items():
        sizes = collections.defaultdict(list)
        for each in records:
            each["epoch_ms"] = 1e3 * each["epoch_seconds"]
            each["row_ms"] = each["epoch_ms"] / each["train_rows"] * 1e4
            sizes[each["copies"], each["epochs"]].append(each)
        for (copies, epochs), same in sizes.items():
            if epochs == SCALED_EPOCHS[0]:
                size = f"{same[0]['train_rows']:,} ({copies}x)"
                cells = (spread(same, name) for name in ("epoch_ms", "row_ms"))
                memory = number(median(each["peak_mb"] for each in same))
                rows.append([TITLES[who], size, *cells, memory])
        cells = (spread(sizes[1, epochs], "train_seconds") for epochs in SCALED_EPOCHS)
        longer.append([TITLES[who], *cells])
    head = ["", "rows", "ms / epoch", "ms / epoch and 10,000 rows", "MB"]
    more = ["", *(f"{epochs} epochs, s" for epochs in SCALED_EPOCHS)]
    return f"{markdown(head, rows)}\n\n{markdown(more, longer)}"


def models_table(whose: Records) -> str:
    rows = []
    for who, records in whose.items():
        counts = collections.defaultdict(list)
        for each in records:
            counts[each["models"]].append(each)
        for models, same in counts.items():
            seconds = spread(same, "train_seconds")
            rate, memory = (
                number(median(each[name] for each in same))
                for name in ("models_per_second", "peak_mb")
            )
            rows.append([TITLES[who], number(models), seconds, rate, memory])
    return markdown(["", "models", "train s", "models / s", "MB"], rows)


def accuracy_table(record: dict) -> str:
    rows = []
    for each in record["sets"]:
        points = (100 * each[name] for name in ("difference", "low", "high"))
        scores = (each[name] for name in ("jaxcls", "sklearn"))
        rows.append(
            [
                each["set"],
                *(f"{score:.4f}" for score in scores),
                "{:+.2f} ({:+.2f} to {:+.2f})".format(*points),
            ]
        )
    return markdown(["", "jaxcls", "scikit-learn", "difference"], rows)


def report(measured: list[dict], machine: dict) -> str:
    """All that was measured, as Markdown."""
    sections: dict[str, dict[str, Records]] = {}
    for each in measured:
        if each["round"]:
            jobs = sections.setdefault(each["section"], {})
            records = jobs.setdefault(each["job"], {}).setdefault(each["who"], [])
            records.append(each)
    parts = []
    for section, jobs in sections.items():
        parts += [f"### {HEADS[section]}", NOTES[section]]
        for job, whose in jobs.items():
            if section == "scale":
                parts.append(scaling_tables(whose))
                continue
            if section == "models":
                parts.append(models_table(whose))
                continue
            if section == "accuracy":
                (only,) = whose["jaxcls"]
                parts += [
                    f"{ESTIMATORS[job]}, {only['seeds']} of them",
                    accuracy_table(only),
                ]
                continue
            if section == "estimators":
                parts += [f"**{job}**: {ESTIMATORS[job]}", table(whose, ESTIMATING)]
                continue
            columns = TRAINING if JOBS[job].models == 1 else TRAINING_MANY
            columns = TO_TARGET if JOBS[job].target else columns
            columns = PROCESS if section == "process" else columns
            parts += [f"**{job}**: {JOBS[job].what}", table(whose, columns)]
        if section == "train" and (programs := programs_table(jobs)):
            parts += [PROGRAMS, programs]
    return "\n\n".join([*parts, "### Machine", machine_lines(machine, measured)])


def machine_lines(machine: dict, measured: list[dict]) -> str:
    others = max(each["cores_of_others"] for each in measured)
    made_of = ", ".join(f"{name} {what}" for name, what in machine["versions"].items())
    return (
        f"{machine['machine']}; {number(machine['matmul_gflops'])} GFLOP/s in float32 "
        f"products of 2048 x 2048 (jax, best of 20); other processes took at "
        f"most {others:.2f} cores during a run; "
        f"{made_of}; {machine['date']}; `{machine['command']}`. Medians with ranges."
    )
