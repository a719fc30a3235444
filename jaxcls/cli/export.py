"""`scripts/export.py`: a trained run as a file for ONNX's runtimes, or for PyTorch."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from tyro.conf import Positional, arg

import jaxcls
from jaxcls.cli.device import choose_device
from jaxcls.cli.outputs import check_free
from jaxcls.cli.screen import hand_out
from jaxcls.data.preparation import Categorical, word_places
from jaxcls.data.table_columns import MISSING
from jaxcls.files import digest, save_arrays, write_whole
from jaxcls.interop import onnx, pytorch
from jaxcls.interop.answers import Answers, Classes
from jaxcls.interop.torch_code import loading_code
from jaxcls.likelihoods import LIKELIHOODS
from jaxcls.runs import MODEL, Run, load_run, read_config


@dataclasses.dataclass(frozen=True)
class ExportFlags:
    """Write a trained run as a file that runs without jaxcls."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run's folder; of several seeds it is their mean."""
    format: Literal["onnx", "torch"] = "onnx"
    """ONNX: raw bytes or a table's raw columns in, label and probabilities out. Or the weights
    alone, as safetensors for PyTorch, and the lines that load them."""
    output: Path | None = None
    """The file; by default RUN.onnx or RUN.safetensors, beside the run's folder."""
    opset: int | None = None
    """Of ONNX's operators; 18 by default, which onnxruntime 1.14 and later read."""


def run(flags: ExportFlags) -> None:
    """Writes the file, and prints what it takes and gives.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    if flags.format == "torch" and flags.opset is not None:
        raise ValueError("--opset: is of ONNX alone; leave it out with --format torch.")
    # The weights are read and written, and nothing is computed.
    with jax.default_device(choose_device("cpu")):
        trained = _finished(flags.run)
        path = _free_path(flags)
        if flags.format == "onnx":
            lines = _write_onnx(path, trained, flags.opset)
        else:
            lines = _write_torch(path, trained)
    hand_out(*lines)


def _finished(path: Path) -> Run:
    """The run of a folder, if it is whole and has no functions of a user's own."""
    record, _ = read_config(path)
    likelihood, activation = record.get("likelihood"), record.get("activation")
    own = activation if isinstance(activation, dict) else None
    if own or ("plan" not in record and likelihood not in LIKELIHOODS):
        name = f"activation {own.get('own')!r}" if own else f"likelihood {likelihood!r}"
        raise ValueError(
            f"{path}: its {name} is a function of one's own, which no other library has; train "
            "with one of jaxcls's to export it."
        )
    trained = load_run(path)
    if trained.source.name != MODEL:
        raise ValueError(
            f"{path}: the run is not finished; --resume it to its end first."
        )
    return trained


def _free_path(flags: ExportFlags) -> Path:
    """Where to write, if nothing is there."""
    path = flags.output
    if path is None:
        # A folder that is called by dots has its name elsewhere.
        folder = flags.run if flags.run.name.strip(".") else flags.run.resolve()
        suffix = {"onnx": "onnx", "torch": "safetensors"}[flags.format]
        path = folder.with_name(f"{folder.name}.{suffix}")
    check_free(path)
    return path


def _write_onnx(path: Path, trained: Run, opset: int | None) -> list[str]:
    model = onnx_model(trained, onnx.OPSET if opset is None else opset)
    content = model.SerializeToString(deterministic=True)
    write_whole(path, content)
    opsets = ", ".join(
        f"{each.domain or 'opset'} {each.version}" for each in model.opset_import
    )
    lines = [f"{path}: ONNX, {opsets}, {len(content):,} bytes"]
    for name, values in (("in", model.graph.input), ("out", model.graph.output)):
        lines += [f"{name:3} {_shown(each)}" for each in values]
    return lines


def _shown(value: Any) -> str:
    """An input or output as a line has it: name, type, shape, and what it is."""
    kind = value.type.tensor_type
    shape = ", ".join(each.dim_param or str(each.dim_value) for each in kind.shape.dim)
    of_onnx = {1: "float32", 2: "uint8", 7: "int64", 8: "string", 11: "float64"}
    return f"{value.name}: {of_onnx[kind.elem_type]} [{shape}], {value.doc_string}"


def onnx_model(trained: Run, opset: int = onnx.OPSET) -> Any:
    """The `onnx.ModelProto` of a run, from what its data are in their file to the answer.

    Raises:
        ValueError: it can't be written, or onnx is not installed.
    """
    try:
        return onnx.to_onnx(
            trained.params,
            trained.config,
            _inputs(trained),
            _answers(trained),
            metadata=_metadata(trained),
            opset=opset,
        )
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the package {error.name} is not installed, which writes ONNX; install it by pip "
            "install 'jaxcls[export]', or by pip install onnx."
        ) from None


def _answers(trained: Run) -> Answers:
    if trained.target is not None:
        return trained.target
    labels = trained.labels
    # Integers where they are all that the names say, as scikit-learn has them.
    if tuple(map(str, labels)) != trained.class_names:
        labels = trained.class_names
    return Classes(labels, trained.temperature, trained.threshold)


def _metadata(trained: Run) -> dict[str, str]:
    """Where the model comes from: of files the names alone, and digests."""
    record, folder = trained.record, trained.source.absolute().parent
    about = {
        "source": f"jaxcls {jaxcls.__version__}, the run {folder.name}",
        "weights_sha256": digest(trained.source.read_bytes()),
    }
    # A run that was saved from Python may have none of these.
    for name in ("dataset", "data_sha256"):
        if record.get(name) is not None:
            about[name] = Path(record[name]).name
    return about


def _inputs(trained: Run) -> onnx.Rows | onnx.Columns:
    if trained.preparation is None:
        size = trained.config.layer_sizes[0]
        # Mean and scale of each feature, of a run that standardises them.
        learned = trained.standardization or ()
        return onnx.Rows(size, trained.takes_bytes, *learned)
    return onnx.Columns(
        tuple(onnx.Number(*each) for each in trained.preparation.numeric),
        tuple(map(_category, trained.preparation.categorical)),
    )


def _category(learned: Categorical) -> onnx.Words | onnx.Values:
    """A column of categories as it is in its file: words or numbers."""
    if not learned.as_words:
        values = tuple(map(float, learned.categories))
        return onnx.Values(learned.name, values, learned.missing)
    places, width = word_places(learned), len(learned.categories)
    if learned.missing:
        places = dict.fromkeys(MISSING, width) | places
    return onnx.Words(learned.name, places, width + learned.missing)


def _write_torch(path: Path, trained: Run) -> list[str]:
    lines = loading_code(
        *(str(path), trained.config, _answers(trained), _taken(trained)),
        num_networks=None if trained.seeds is None else len(trained.seeds),
    )
    arrays = {}
    for place, each in enumerate(trained.members()):
        first = "" if trained.seeds is None else f"{place}."
        for name, array in pytorch.to_state_dict(each.params).items():
            arrays[f"{first}{name}"] = array
    save_arrays(path, arrays, {"format": "pt"})
    return lines


def _taken(trained: Run) -> str:
    """What features are, for a comment."""
    if trained.preparation is not None:
        return "prepared as by jaxcls.data.preparation"
    taken = "bytes / 255" if trained.takes_bytes else "as trained on"
    if trained.standardization is not None:
        taken += ", standardised as config.json says"
    return taken
