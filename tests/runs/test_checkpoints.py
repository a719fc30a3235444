"""runs.checkpoints: whole or passed over, the last few kept, every leaf compared."""

import os

import jax
import numpy as np
import pytest

from jaxcls import Config, Keys, bernoulli, init_state
from jaxcls.files import read_json, write_json
from jaxcls.runs import newest_checkpoint, remove_checkpoints_after, write_checkpoint
from jaxcls.runs.checkpoints import read_config

CONFIG = Config((3, 4, 1), bernoulli, monitor="loss")
HISTORY = [
    {"epoch": epoch, "loss": 0.1 / epoch, "train_accuracy": 0.5} for epoch in (1, 2)
]


def state_after(epoch):
    state = init_state(Keys.from_seed(0), CONFIG)
    moved = jax.tree.map(lambda leaf: leaf + epoch, state.params)
    return state._replace(
        step=np.int32(10 * epoch), params=moved, epoch=np.int32(epoch)
    )


def write(folder, *epochs, keep=2):
    for epoch in epochs:
        record = {"seed": epoch}
        write_checkpoint(folder, epoch, state_after(epoch), HISTORY, record, keep=keep)


def test_a_checkpoint_gives_back_every_bit(tmp_path):
    write(tmp_path, 3)
    checkpoint, problems = newest_checkpoint(tmp_path)
    assert problems == [] and (checkpoint.epoch, checkpoint.config) == (3, {"seed": 3})
    assert checkpoint.history == HISTORY and list(checkpoint.history[0]) == [
        *("epoch", "loss", "train_accuracy")
    ]
    want = state_after(3)
    got = checkpoint.state(jax.eval_shape(lambda: want))
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_the_newest_are_kept(tmp_path):
    write(tmp_path, 5, 9, 10, 100, keep=3)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == [
        f"epoch-{epoch:010}.{kind}"
        for epoch in (9, 10, 100)
        for kind in ("json", "safetensors")
    ]
    remove_checkpoints_after(tmp_path, 10)
    assert newest_checkpoint(tmp_path)[0].epoch == 10
    remove_checkpoints_after(tmp_path, 0)
    assert os.listdir(tmp_path / "checkpoints") == []
    assert newest_checkpoint(tmp_path) == (None, [])


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, kind):
    write(tmp_path, 1, 2)
    path = tmp_path / "checkpoints" / f"epoch-0000000002.{kind}"
    content = path.read_bytes()
    flipped = []
    for place in range(0, len(content), max(1, len(content) // 40)):
        each = bytearray(content)
        each[place] ^= 4
        flipped.append(bytes(each))
    for damaged in (*flipped, content[:-2], content[: len(content) // 2], b""):
        path.write_bytes(damaged)
        checkpoint, (problem,) = newest_checkpoint(tmp_path)
        assert checkpoint.epoch == 1 and str(path) in problem
    path.unlink()
    checkpoint, problems = newest_checkpoint(tmp_path)
    assert checkpoint.epoch == 1 and len(problems) == (kind == "safetensors")


def test_a_checkpoint_under_another_name_is_passed_over(tmp_path):
    write(tmp_path, 1, 2)
    folder = tmp_path / "checkpoints"
    for kind in ("json", "safetensors"):
        os.rename(
            folder / f"epoch-0000000002.{kind}", folder / f"epoch-0000000007.{kind}"
        )
    checkpoint, (problem,) = newest_checkpoint(tmp_path)
    assert (
        checkpoint.epoch == 1 and "not the JSON of a checkpoint of this name" in problem
    )


def test_counters_that_do_not_agree_are_passed_over(tmp_path):
    write(tmp_path, 1, 2)
    path = tmp_path / "checkpoints" / "epoch-0000000002.json"
    about = read_json(path)
    assert about["step"] == 20
    write_json(path, about | {"step": 21})
    checkpoint, (problem,) = newest_checkpoint(tmp_path)
    assert checkpoint.epoch == 1 and problem.endswith("its step is not 21.")


@pytest.mark.parametrize(
    "config, message",
    [
        (Config((3, 5, 1), bernoulli, monitor="loss"), r"must be float32 \[.*\], got"),
        (Config((3, 4, 1), bernoulli), "has no place for progress/best/epoch"),
        (Config((3, 4, 4, 1), bernoulli, monitor="loss"), "lacks opt_state/"),
    ],
)
def test_a_state_of_another_config_is_refused_by_name(tmp_path, config, message):
    write(tmp_path, 1)
    checkpoint, _ = newest_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=message):
        checkpoint.state(init_state(Keys.from_seed(0), config))


def test_a_damaged_config_is_that_of_the_newest_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"no run that can be read: .*no such file"):
        read_config(tmp_path)
    write(tmp_path, 1, 2)
    write_json(tmp_path / "config.json", {"seed": 0})
    assert read_config(tmp_path) == ({"seed": 0}, None)
    (tmp_path / "config.json").write_text("{")
    config, problem = read_config(tmp_path)
    assert config == {"seed": 2} and "config.json: not a whole JSON file" in problem


def test_a_checkpoint_without_the_states_epoch_takes_its_own(tmp_path):
    # 0.1.0 wrote none.
    write(tmp_path, 4)
    checkpoint, _ = newest_checkpoint(tmp_path)
    del checkpoint.arrays["epoch"]
    state = checkpoint.state(jax.eval_shape(lambda: state_after(4)))
    assert state.epoch == 4 and state.epoch.dtype == np.int32
