"""A run's JSON files with anything in them: a right result, or one line that names the run.

Also where a digest vouches for the content, as it would for what another version wrote.
"""

import copy
import json
from collections import Counter
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxcls.cli import job
from jaxcls.cli.device import describe
from jaxcls.cli.flags import NOT_KEPT, BinaryFlags, RegressionFlags
from jaxcls.cli.parsing import read_flags, resolved
from jaxcls.files import read_json, save_arrays, write_json
from jaxcls.runs import (
    RunFolder,
    load_run,
    newest_checkpoint,
    read_config,
    write_checkpoint,
)
from jaxcls.training import init_state

LONG = settings.get_current_profile_name() == "long"
limits = settings(
    max_examples=settings().max_examples if LONG else 60,
    derandomize=not LONG,
    database=None,
    deadline=2_000,
    suppress_health_check=list(HealthCheck),
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2, -1, 2**31, 2**63, 10**30])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.text(), SCALARS)


KINDS = {kind.SCRIPT: kind for kind in (BinaryFlags, RegressionFlags)}


@pytest.fixture(
    scope="module",
    params=[
        BinaryFlags(
            dataset="digits", hidden=(3,), validation_fraction=0.2, standardize=True
        ),
        pytest.param(RegressionFlags(hidden=(3,)), marks=pytest.mark.slow),
    ],
    ids=["binary", "regression"],
)
def run(request, tmp_path_factory):
    """A run with a checkpoint, and what its two JSON files hold."""
    path = tmp_path_factory.mktemp("fuzz") / "run"
    flags = resolved(request.param)
    data = job.load_data(flags)
    ready = job.prepare(flags, data)
    config = job.about(flags, ready, describe(jax.devices()[0]))
    state = init_state(ready.keys, ready.config, ready.params)
    history = [{"epoch": 1, "loss": 0.5}]
    with RunFolder(path) as folder:
        folder.write_config(config)
        write_checkpoint(path, 1, state, history, config, keep=1)
    checkpoint = path / "checkpoints" / "epoch-0000000001.json"
    return path, config, checkpoint, read_json(checkpoint)


@st.composite
def edits(draw):
    """Changes a value somewhere in a tree of dicts and lists, or leaves it out."""
    turns = draw(st.lists(st.integers(0, 60), min_size=1, max_size=4))
    value, leave_out = draw(VALUES), draw(st.booleans())

    def edit(tree):
        place, key = tree, None
        for turn in turns:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[turn % len(keys)]
            if not (isinstance(place[key], (dict, list)) and place[key]):
                break
            if turn is not turns[-1]:
                place = place[key]
        if isinstance(place, list):
            key = key if isinstance(key, int) and key < len(place) else 0
        elif key not in place:
            key = next(iter(place))
        if leave_out:
            del place[key]
        else:
            place[key] = value

    return edit


def counted(tallies, name, read):
    tally = tallies.setdefault(name, Counter())
    try:
        got = read()
    except ValueError as error:
        message = str(error)
        assert message.endswith(".") and len(message.splitlines()) == 1, message
        tally["refused"] += 1
        return None
    tally["whole"] += 1
    return got


@limits
@given(edit=edits())
def test_a_config_with_anything_in_it(run, tallies, edit):
    path, config, _, _ = run
    changed = copy.deepcopy(config)
    edit(changed)
    write_json(path / "config.json", changed)
    got = counted(tallies, "config (network)", lambda: load_run(path))
    if got is not None:
        assert got.config.layer_sizes == tuple(changed["layer_sizes"])
        assert got.config.layer_sizes[1:] == (3, 1)
        assert list(got.labels) == changed["labels"]
        assert list(got.class_names) == changed["class_names"]
    flags = counted(
        tallies,
        "config (flags)",
        lambda: read_flags(KINDS[config["script"]], changed),
    )
    if flags is not None:
        for name in changed["flags"].keys() - NOT_KEPT:
            kept = getattr(flags, name)
            kept = list(kept) if isinstance(kept, tuple) else kept
            kept = str(kept) if isinstance(kept, Path) else kept
            assert kept == changed["flags"][name]


@limits
@given(edit=edits())
def test_a_checkpoint_with_anything_in_it(run, tallies, edit):
    path, _, checkpoint, about = run
    changed = copy.deepcopy(about)
    edit(changed)
    write_json(checkpoint, changed)

    def read():
        found, problems = newest_checkpoint(path)
        if found is None:
            assert len(problems) == 1 and str(checkpoint.parent) in problems[0]
            raise ValueError(problems[0])
        return found

    got = counted(tallies, "checkpoint JSON", read)
    if got is not None:
        assert type(got.epoch) is int and got.epoch == 1
        assert got.history[0] in ({"epoch": 1, "loss": 0.5}, {"loss": 0.5, "epoch": 1})


@limits
@given(edit=edits())
def test_a_result_with_anything_in_it(run, tallies, edit):
    path, config, checkpoint, about = run
    write_json(path / "config.json", config)
    write_json(checkpoint, about)
    params = load_run(path).params
    chosen = {"epoch": 1, "epochs_done": 1, "stopped_by": "epochs", "seeds": None}
    sha256 = save_arrays(path / "model.safetensors", {"params": params}, {})
    changed = {
        "config": copy.deepcopy(config),
        "chosen": chosen,
        "sha256_of": {"model.safetensors": sha256},
    }
    edit(changed)
    write_json(path / "metrics.json", changed)
    try:
        got = counted(tallies, "metrics.json", lambda: load_run(path))
    finally:
        (path / "metrics.json").unlink()
    assert got is None or got.epoch == changed["chosen"]["epoch"]


PLAN = {
    "rungs": [1, 3],
    "groups": [{"settings": [0, 2], "width": 2}, {"settings": [1], "width": 1}],
}


@limits
@given(edit=edits())
def test_a_plan_with_anything_in_it(run, tallies, edit):
    path, config, _, _ = run
    changed = config | {"plan": copy.deepcopy(PLAN)}
    edit(changed)
    write_json(path / "config.json", changed)
    got = counted(tallies, "plan", lambda: read_config(path)[0])
    if got is not None and "plan" in got:
        assert all(epochs >= 1 for epochs in got["plan"]["rungs"])
        assert all(1 <= each["width"] <= 4096 for each in got["plan"]["groups"])
        assert all(min(each["settings"]) >= 0 for each in got["plan"]["groups"])


@limits
@given(place=st.integers(0, 100_000), bits=st.integers(1, 255), cut=st.booleans())
def test_a_json_file_with_any_byte_changed(run, tallies, place, bits, cut):
    path, config, _, _ = run
    write_json(path / "config.json", config)
    content = bytearray((path / "config.json").read_bytes())
    place %= len(content)
    content[place] ^= bits
    (path / "config.json").write_bytes(content[:place] if cut else content)
    got = counted(tallies, "JSON file", lambda: read_json(path / "config.json"))
    # Only a space for another changes nothing.
    assert got is None or json.dumps(got) == json.dumps(config)
