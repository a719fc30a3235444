"""runs.members: every bit of many runs comes back, and a damaged block harms no other."""

import dataclasses
import os

import jax
import numpy as np
import pytest

from jaxcls import Config, categorical
from jaxcls.epochs import History
from jaxcls.files import named_arrays, read_json, save_arrays, write_json
from jaxcls.metrics import Metrics
from jaxcls.runs.blocks import (
    Shape,
    blocks_from_bytes,
    blocks_to_bytes,
    fitting,
    read_blocks,
    remove_blocks,
    write_block,
)
from jaxcls.study.engine import Runs


def floats(rng, *shape):
    """Of any bits, also of those that are no number."""
    return rng.integers(0, 2**32, shape, np.uint32).view(np.float32)


def metrics(rng, *shape):
    correct, count = rng.integers(0, 100, (2, *shape), np.int32)
    return Metrics(floats(rng, *shape), correct, count)


def runs(seed, *, width=3, history=None, params=True):
    rng = np.random.default_rng(seed)
    epochs, chosen, first = rng.integers(-1, 9, (3, width), np.int32)
    validation = metrics(rng, width, 4) if history == "validation" else None
    layer = {"kernel": floats(rng, width, 5, 2), "bias": floats(rng, width, 2)}
    return Runs(
        epochs=epochs,
        chosen_epoch=chosen,
        finite=rng.random(width) < 0.5,
        first_nonfinite_step=first,
        scores={name: metrics(rng, width) for name in ("train", "validation")},
        history=History(floats(rng, width, 4), validation) if history else None,
        params={f"Dense_{index}": layer for index in range(11)} if params else None,
    )


CONFIG = {"flags": {"seed": 0, "seeds": 3}, "width": 2}
KINDS = {
    "scores alone": {"params": False},
    "histories": {"history": "loss"},
    "histories with validation": {"history": "validation"},
    "one run": {"width": 1, "history": "validation"},
}
FIRST, SECOND, THIRD = (
    {(number, 0, 2): runs(number), (number, 12, 345): runs(number + 10)}
    for number in range(3)
)


def assert_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)

    def same(one, other):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()  # NaNs have bits, too

    jax.tree.map(same, got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_comes_back(tmp_path, kind):
    done = {
        (rung, group, chunk): runs(rung + chunk, **KINDS[kind])
        for rung, group, chunk in ((0, 0, 0), (0, 0, 10), (2, 31, 4567))
    }
    write_block(tmp_path, done, CONFIG)
    got, problems = read_blocks(tmp_path)
    assert problems == []
    assert_same(got, done)
    assert_same(blocks_from_bytes(blocks_to_bytes(done)), done)


def test_rows_that_do_not_lie_together_come_back(tmp_path):
    # Those of a part of a chunk, as `run_chunks` cuts them, and of a turned array.
    cut = jax.tree.map(lambda leaf: np.asfortranarray(leaf)[::-2], runs(0))
    write_block(tmp_path, {(0, 0, 0): cut}, CONFIG)
    assert_same(read_blocks(tmp_path)[0], {(0, 0, 0): cut})
    assert_same(blocks_from_bytes(blocks_to_bytes({(0, 0, 0): cut})), {(0, 0, 0): cut})


def test_no_chunks_are_no_chunks(tmp_path):
    assert blocks_from_bytes(blocks_to_bytes({})) == {}
    assert read_blocks(tmp_path) == ({}, [])


def test_blocks_add_up(tmp_path):
    for done in (FIRST, SECOND, THIRD):
        write_block(tmp_path, done, CONFIG)
    assert sorted(os.listdir(tmp_path / "members")) == [
        f"block-{number:06}.{kind}"
        for number in range(3)
        for kind in ("json", "safetensors")
    ]
    got, problems = read_blocks(tmp_path)
    assert problems == []
    assert_same(got, FIRST | SECOND | THIRD)


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_a_damaged_block_is_passed_over_and_the_others_are_kept(tmp_path, kind):
    for done in (FIRST, SECOND, THIRD):
        write_block(tmp_path, done, CONFIG)
    path = tmp_path / "members" / f"block-000001.{kind}"
    content = path.read_bytes()
    flipped = []
    for place in range(0, len(content), max(1, len(content) // 40)):
        each = bytearray(content)
        each[place] ^= 4
        flipped.append(bytes(each))
    cut = content[:-2], content[: len(content) // 2], b""
    for damaged in (*flipped, *cut, None):
        path.unlink() if damaged is None else path.write_bytes(damaged)
        got, (problem,) = read_blocks(tmp_path)
        assert_same(got, FIRST | THIRD)
        assert str(path) in problem and problem.endswith(".")
        assert "\n" not in problem


def test_numbers_go_on_after_a_damaged_block(tmp_path):
    folder = tmp_path / "members"
    write_block(tmp_path, FIRST, CONFIG)
    write_block(tmp_path, SECOND, CONFIG)
    (folder / "block-000001.safetensors").write_bytes(b"")
    write_block(tmp_path, THIRD, CONFIG)
    got, problems = read_blocks(tmp_path)
    assert len(problems) == 1
    assert_same(got, FIRST | THIRD)
    # As a process leaves it that was killed between the two files.
    (folder / "block-000002.json").unlink()
    write_block(tmp_path, SECOND, CONFIG)
    got, problems = read_blocks(tmp_path)
    assert len(problems) == 2 and (folder / "block-000003.json").exists()
    assert_same(got, FIRST | SECOND)


def test_what_is_trained_again_replaces_what_was_there(tmp_path):
    write_block(tmp_path, FIRST, CONFIG)
    again = dict.fromkeys(FIRST, runs(99))
    write_block(tmp_path, again, CONFIG)
    assert_same(read_blocks(tmp_path)[0], again)


@pytest.mark.parametrize(
    "arrays",
    [
        {"epochs": np.zeros(2)},
        {"0-0": {"epochs": np.zeros(2)}},
        {"0-0-0": {"epochs": np.zeros(2)}},
        {"0-0-0": {"scores": np.zeros(2)}},
        {"0-0-0": {"scores": {"train": np.zeros(2)}}},
        {"0-0-0": {"scores": {"train": {"loss": np.zeros(2)}}}},
        {"0-0-0": runs(0)._asdict() | {"more": np.zeros(2)}},
    ],
)
def test_whole_files_of_something_else_are_passed_over(tmp_path, arrays):
    write_block(tmp_path, FIRST, CONFIG)
    stem = tmp_path / "members" / "block-000001"
    sha256 = save_arrays(stem.with_suffix(".safetensors"), arrays, {})
    write_json(stem.with_suffix(".json"), {"sha256_of_arrays": sha256})
    got, (problem,) = read_blocks(tmp_path)
    assert f"{stem}.safetensors: not a block of runs (" in problem
    assert_same(got, FIRST)


def test_other_files_are_no_blocks(tmp_path):
    write_block(tmp_path, FIRST, CONFIG)
    for name in ("block-7.json", "block-000007.txt", ".block-000007.json.9.tmp"):
        (tmp_path / "members" / name).write_text("{}")
    got, problems = read_blocks(tmp_path)
    assert problems == []
    assert_same(got, FIRST)


def test_blocks_are_removed(tmp_path):
    remove_blocks(tmp_path)
    write_block(tmp_path, FIRST, CONFIG)
    (tmp_path / "sweep.csv").write_text("kept")
    remove_blocks(tmp_path)
    assert os.listdir(tmp_path) == ["sweep.csv"]
    assert read_blocks(tmp_path) == ({}, [])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "members").write_text("in the way")
    with pytest.raises(OSError, match="members could not be written: "):
        write_block(tmp_path, FIRST, CONFIG)


def test_a_block_of_another_run_is_refused_by_name(tmp_path):
    write_block(tmp_path, FIRST, CONFIG)
    write_block(tmp_path, SECOND, CONFIG | {"device": "another"})
    assert_same(read_blocks(tmp_path, CONFIG)[0], FIRST | SECOND)
    for other, said in (
        (CONFIG | {"width": 4}, "its width is 2, here it is 4"),
        ({"flags": {"seed": 1, "seeds": 3}}, "its seed is 0, here it is 1"),
    ):
        with pytest.raises(ValueError, match=f"block-000000.json belongs.*{said}"):
            read_blocks(tmp_path, other)


def test_a_block_of_version_0_1_0_is_taken(tmp_path):
    write_block(tmp_path, FIRST, CONFIG)
    path = tmp_path / "members" / "block-000000.json"
    write_json(path, {"sha256_of_arrays": read_json(path)["sha256_of_arrays"]})
    assert_same(read_blocks(tmp_path, CONFIG)[0], FIRST)


@pytest.mark.parametrize(
    "more",
    [
        {"epochs/more": np.zeros(3)},
        {"epochs": np.int32(3)},
        {"chosen_epoch": np.zeros(4, np.int32)},
        {"params/Dense_0/bias": np.zeros((2, 3))},
    ],
)
def test_arrays_of_no_runs_are_passed_over(tmp_path, more):
    write_block(tmp_path, FIRST, CONFIG)
    stem = tmp_path / "members" / "block-000001"
    named = {f"0-0-0/{name}": each for name, each in more.items()}
    arrays = named_arrays({"0-0-0": runs(0)}) | named
    sha256 = save_arrays(stem.with_suffix(".safetensors"), arrays, {})
    write_json(stem.with_suffix(".json"), {"sha256_of_arrays": sha256})
    got, (problem,) = read_blocks(tmp_path, CONFIG)
    assert "not a block of runs (" in problem
    assert_same(got, FIRST)


def test_chunks_that_do_not_fit_are_left_out():
    config = Config((5, 2), categorical, epochs=4, monitor="loss")

    def fits(chunk, **changes):
        shape = Shape(config, 2, 3, ("train", "validation"), keep=True)
        done = {(0, 0, 7): chunk}
        kept, problems = fitting(done, lambda _: shape._replace(**changes))
        assert bool(kept) != bool(problems)
        return kept == done

    layer = {"kernel": np.zeros((3, 5, 2)), "bias": np.zeros((3, 2))}
    whole = runs(0, history="validation")._replace(params={"Dense_0": layer})
    assert fits(whole) and fits(whole, least=3)
    for changes in (
        {"least": 4, "most": 4},
        {"most": 2},
        {"scored": ("train",)},
        {"scored": ("train", "validation", "test")},
        {"keep": False},
        {"config": dataclasses.replace(config, epochs=5)},
        {"config": dataclasses.replace(config, layer_sizes=(4, 2))},
        {"config": dataclasses.replace(config, layer_sizes=(5, 5, 2))},
    ):
        assert not fits(whole, **changes)
    assert not fits(whole._replace(history=None))
    alone = whole._replace(history=None, params=None)
    assert fits(alone, keep=False) and not fits(alone)
    kept, (problem,) = fitting({(0, 1, 2): alone}, lambda _: None)
    assert kept == {} and "chunk 0-1-2 does not fit its run: there is no" in problem
