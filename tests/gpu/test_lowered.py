"""What jax hands to a GPU, without one: each program lowered for cuda, looked at, and run on the CPU."""

import re

import jax
import numpy as np
import pytest
from gpu_programs import small_programs

from jaxcls.interop.sklearn.segments import train_segment
from jaxcls.study.devices import member_mesh, replicate, spread
from jaxcls.study.engine import _run_round
from jaxcls.study.rows import Rows

PROGRAMS = small_programs(member_mesh(jax.devices("cpu")[:1]))
FAST = {"A", "D", "losses.softmax_ce"}


def names():
    return [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in PROGRAMS
    ]


def exported(program):
    # What is lowered for a GPU is run on a CPU here, which jax would refuse.
    checks = [jax.export.DisabledSafetyCheck.platform()]
    export = jax.export.export(
        program.function, platforms=["cuda"], disabled_checks=checks
    )
    return export(*program.args, **program.static)


def is_key(leaf):
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def numbers(program):
    """Arguments of the program's shapes, of small numbers."""
    rng = np.random.default_rng(0)

    def filled(leaf):
        if is_key(leaf):
            return jax.random.key(int(rng.integers(100)), impl="threefry2x32")
        if leaf.dtype == np.float32:  # probabilities are among them
            return rng.uniform(0.1, 0.9, leaf.shape).astype(np.float32)
        if leaf.dtype == np.bool_:
            return rng.random(leaf.shape) < 0.5
        if leaf.ndim == 2 and leaf.shape[-1] < 10:  # how many rows a member has
            return np.full(leaf.shape, 30, leaf.dtype)
        if leaf.ndim == 3:  # the rows themselves
            return rng.integers(0, 200, leaf.shape).astype(leaf.dtype)
        if leaf.ndim == 1:  # labels
            return rng.integers(0, 2, leaf.shape).astype(leaf.dtype)
        # Epochs to do, and those done: `until` stands last.
        return np.zeros(leaf.shape, leaf.dtype)

    args = list(jax.tree.map(filled, program.args))
    if "num_epochs" in program.static or program.function is _run_round:
        args[-1] = np.int32(3)
    if program.function is _run_round:
        mesh = program.static["mesh"]
        args[:2] = spread(args[0], mesh), replicate(args[1], mesh)
    if program.function is train_segment:
        states, members, sets = args
        states = states._replace(epoch=0 * states.epoch)
        three = np.full_like(members.until, 3)
        train = members.rows.train._replace(counts=10 * three)
        members = members._replace(until=three, rows=Rows(train))
        args = [states, members, sets._replace(steps=np.array(2, np.int32))]
    return args


def bits(tree):
    return [
        np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        for leaf in jax.tree.leaves(tree)
    ]


@pytest.mark.parametrize("name", names())
def test_a_program_is_lowered_for_a_gpu_and_gives_the_cpus_bits(name):
    program = PROGRAMS[name]
    lowered = exported(program)
    text = lowered.mlir_module()
    products = re.findall(r"stablehlo\.dot_general.*", text)
    assert all("precision = [HIGHEST, HIGHEST]" in each for each in products)
    assert not re.search(r"f64|callback|custom_call", text)
    assert lowered.platforms == ("cuda",)
    want = bits(program.function(*numbers(program), **program.static))
    for got, wanted in zip(bits(lowered.call(*numbers(program))), want, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_programs_are_all_that_jaxcls_jits():
    """A jitted function that is new must be among the programs above, or be named here."""
    import jaxcls
    from jaxcls import ensembles, epochs, layouts, mlp, training
    from jaxcls.interop.sklearn import segments

    jitted = type(jax.jit(abs))
    found = {
        value
        for module in (
            *(ensembles, epochs, layouts, mlp, training, jaxcls.config),
            segments,
        )
        for value in vars(module).values()
        if isinstance(value, jitted)
    }
    within = {
        epochs.train_epochs: "layouts.train_epochs runs the same epochs",
        ensembles.log_odds: "ensembles.probabilities averages alike",
    }
    shown = {program.function for program in PROGRAMS.values()}
    assert found - shown == set(within)
