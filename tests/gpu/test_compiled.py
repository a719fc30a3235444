"""What XLA makes for an H100, compiled for one with jax's CUDA plugin and no GPU.

`.ci/run` installs the plugin in an environment of its own; elsewhere these tests skip.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from gpu_programs import JOBS, ROWS, D, M, T, examples, job, one_round
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxcls.batches import Batch
from jaxcls.study.memory import run_bytes

pytest.importorskip("jax_plugins.xla_cuda13", reason="needs jax's CUDA plugin")
pytestmark = pytest.mark.slow

# As NVIDIA gives it for an H100 SXM with 80 GB, with the driver and CUDA that XLA is to count on.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 patch: 0 }
gpu_device_info {
  driver_version: "13.0.0"
  runtime_version: "13.0.0"
  cuda_compute_capability { major: 9 }
  clock_rate_ghz: 1.98
  core_count: 132
  fpus_per_core: 128
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
"""
# Of a step, with jax 0.10.2; fewer are welcome.
MOST_LAUNCHES = {"A": 20, "D": 16, "M": 27, "T": 23, "64 of D": 13, "32 of M": 27}
# What `--xla_gpu_enable_command_buffer=+WHILE` stands for in XLA_FLAGS; an option takes no "+".
WITH_LOOPS = (
    "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
)


class Made(NamedTuple):
    """What XLA made of a program.

    `from_host` are the kinds of what the host starts when it runs, outside of loops.
    """

    hlo: str
    assembly: str
    launches: int
    from_host: list[str]
    temporaries: int
    outputs: int


@cache
def devices(count):
    """So many H100s, of which jax knows all but where they are."""
    found = topologies.get_topology_desc(
        platform="cuda",
        topology_name="",
        topology=f"1x1x{count}",
        target_config=H100,
    )
    return found.devices


@cache
def program(name):
    if name in JOBS:
        return job(name)
    mesh = Mesh(np.array(devices(1)), ("members",))
    config, width = {"64 of D": (D, 64), "32 of M": (M, 32)}[name]
    return one_round(config, ROWS[name[-1]], width, mesh)


def placed(program):
    mesh = program.static.get("mesh")
    if mesh is None:
        one = SingleDeviceSharding(devices(1)[0])
        shardings = [one] * len(program.args)
    else:
        each, whole = (
            NamedSharding(mesh, spec)
            for spec in (PartitionSpec("members"), PartitionSpec())
        )
        shardings = [each, whole, whole]

    def put(leaf, sharding):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return [
        jax.tree.map(lambda leaf, to=sharding: put(leaf, to), arg)
        for arg, sharding in zip(program.args, shardings, strict=True)
    ]


@pytest.fixture(scope="module", autouse=True)
def kept_nowhere():
    """Of a program that was compiled before and kept XLA would tell nothing."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, 1e9)
    yield
    jax.config.update(name, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Compiles a program, each once."""
    found = {}

    def compiled(name):
        if name not in found:
            found[name] = compile_for_h100(
                program(name), tmp_path_factory.mktemp("dump")
            )
        return found[name]

    return compiled


def compile_for_h100(program, folder, **options):
    lowered = program.function.lower(*placed(program), **program.static)
    done = lowered.compile(compiler_options={"xla_dump_to": str(folder), **options})
    memory = done.memory_analysis()
    return Made(
        done.as_text(),
        "\n".join(path.read_text() for path in folder.glob("*.ptx")),
        launches_of_a_step(folder),
        started_by_the_host(folder),
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes,
    )


def launches_of_a_step(folder: Path) -> int:
    """Kernels and copies in the body of the loop that stands within all others."""
    (path,) = folder.glob("*thunk_sequence.txt")
    lines = path.read_text().splitlines()
    # The deepest lines after a "body:" are its launches.
    depths, in_body = [], False
    for line in lines:
        name = line.strip()
        if name in ("condition:", "body:"):
            in_body = name == "body:"
        elif in_body and re.match(r"\s*\d+: k(?!While)", line):
            depths.append(len(line) - len(line.lstrip()))
    return depths.count(max(depths))


def started_by_the_host(folder: Path) -> list[str]:
    (path,) = folder.glob("*thunk_sequence_after_thunk_passes.txt")
    return re.findall(r"^\d+: (k\w+)", path.read_text(), re.MULTILINE)


ALL = tuple(MOST_LAUNCHES)


@pytest.mark.parametrize("name", ALL)
def test_no_atomics_and_no_tf32(name, made):
    # Sums of another order in each run, and products of ten bits.
    assert not re.search(r"\b(atom|red)\.", made(name).assembly)
    assert "tf32" not in made(name).assembly
    assert made(name).assembly.count(".entry") > 5


@pytest.mark.parametrize("name", ALL)
def test_no_loop_copies_the_features(name, made):
    entry = made(name).hlo.index("\nENTRY")
    in_loops = made(name).hlo[:entry]
    moved = re.findall(r"= f32\[([\d,]+)\]\S* (?:pad|copy|transpose)\(", in_loops)
    shapes = [[int(size) for size in shape.split(",")] for shape in moved]
    # A batch of features may be filled up to 832, the whole set may not.
    assert shapes and not [
        shape for shape in shapes if shape[-1] == 784 and shape[0] > 4096
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_step_launches_no_more_than_it_did(name, made):
    assert 5 < made(name).launches <= MOST_LAUNCHES[name]


@pytest.mark.parametrize("name", [name for name in ALL if name[-1] in "DT"])
def test_the_loop_over_steps_is_of_known_length(name, made):
    config = T if name == "T" else D
    steps = -(-ROWS[name[-1]] // config.batch_size)
    assert f'"known_trip_count":{{"n":"{steps}"}}' in made(name).hlo


@pytest.mark.parametrize(
    "name, products",
    [*((name, "Triton") for name in ALL), ("A", "cuBLAS"), ("T", "cuBLAS")],
)
def test_by_a_flag_all_loops_are_one_graph(name, products, made, tmp_path):
    assert "kWhile" in made(name).from_host
    options = {
        "xla_gpu_enable_command_buffer": WITH_LOOPS,
        "xla_gpu_enable_triton_gemm": products == "Triton",
    }
    graph = compile_for_h100(program(name), tmp_path, **options)
    assert ("__cublas" in graph.hlo) == (products == "cuBLAS")
    assert graph.from_host == ["kCommandBuffer"]


@pytest.mark.parametrize("name", ["64 of D", "32 of M"])
def test_the_memory_reckoned_is_what_is_taken_or_a_little_more(name, made):
    config, width = {"64 of D": (D, 64), "32 of M": (M, 32)}[name]
    train = examples(ROWS[name[-1]], config)
    sizes = Batch(*(np.empty(leaf.shape, np.int8) for leaf in train[:2]))
    taken = made(name).temporaries + made(name).outputs
    reckoned = width * run_bytes(config, sizes, None, None, on_cpu=False)
    assert taken <= reckoned <= 4 * taken


def test_four_devices_talk_to_each_other_about_nothing(tmp_path):
    mesh = Mesh(np.array(devices(4)), ("members",))
    sweep = compile_for_h100(one_round(D, ROWS["D"], 16, mesh), tmp_path)
    assert not re.search(
        r"all-(reduce|gather|to-all)|collective|reduce-scatter", sweep.hlo
    )
    assert f"num_partitions={mesh.size}" in sweep.hlo
