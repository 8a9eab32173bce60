"""Loading a checkpoint of transformers: from its folder only, shard by shard, with every key accounted for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel
from transformers.utils import logging

from spatialspec.core.distribution import Sampling
from spatialspec.core.errors import BadInput

Model = TypeVar("Model", bound=PreTrainedModel)
DeviceMap = str | Mapping[str, int | str | torch.device]


def load_model(
    kind: type[Model],
    folder: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: DeviceMap | None = None,
) -> Model:
    """Load a model from safetensors, straight onto its devices.

    Args:
        kind: class of transformers.
        folder: of the checkpoint.
        device: for all of it, where no device map is given.
        dtype: of all weights.
        device_map: as in transformers; offloading is refused.

    Raises:
        BadInput: a weight is missing, left over or of another shape, or a file is damaged.
    """
    loader: Any = kind
    model: Model
    report: dict[str, Any]
    try:
        with _quiet():
            model, report = loader.from_pretrained(
                folder,
                dtype=dtype,
                device_map=({"": device} if device != "cpu" else None) if device_map is None else device_map,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are named below, which the error of transformers does not do
            )
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BadInput(
            f"one that does not load ({_first_line(error)})", f"a checkpoint of {kind.__name__}", where=folder
        ) from error
    if misfits := sorted(report["mismatched_keys"]):
        shapes = ", ".join(f"{name} {tuple(got)} instead of {tuple(wanted)}" for name, got, wanted in misfits[:4])
        raise BadInput(
            f"{shapes} ({len(misfits)} in all)",
            f"the shapes that {kind.__name__} has by config.json",
            "fetch both again, one of them is another model's",
            where=folder,
        )
    for what, keys in (("no weights for", report["missing_keys"]), ("surplus weights", report["unexpected_keys"])):
        if keys:
            names = ", ".join(sorted(keys)[:4])
            raise BadInput(
                f"{what} {names} ({len(keys)} in all)",
                f"those of {kind.__name__} and no others",
                "fetch it again, or check that it is this kind of model",
                where=folder,
            )
    return model.eval().requires_grad_(False)


def load_processor(kind: type[Any], folder: Path) -> Any:
    """Load the processor beside a model; no code in the folder is run, whatever its files say.

    Args:
        kind: class of transformers.
        folder: of the checkpoint.

    Raises:
        BadInput: there is none, or a file of it is damaged.
    """
    try:
        with _quiet():
            return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, ImportError) as error:
        raise BadInput(
            f"one that does not load ({_first_line(error)})",
            "a processor beside the weights",
            "fetch processor_config.json, preprocessor_config.json and the tokenizer's files too",
            where=folder,
        ) from error


def check_kinds(model: Any, kind: type[Any], processor: Any = None, its: type[Any] | None = None) -> None:
    """Refuse a model or a processor of another class.

    Raises:
        BadInput: one of them is.
    """
    if not isinstance(model, kind):
        advice = "give the model itself, not what wraps it or a part of it"
        raise BadInput(f"a model of class {type(model).__name__}", f"{kind.__name__} of transformers", advice)
    if its is not None and not isinstance(processor, its):
        advice = f"give {its.__name__}.from_pretrained(FOLDER)"
        raise BadInput(f"a processor of class {type(processor).__name__}", f"{its.__name__} of transformers", advice)


def recommended(config: GenerationConfig, otherwise: Sampling) -> Sampling:
    """Sampling as `generation_config.json` has it; what it leaves open is filled in."""
    guidance, temperature = config.guidance_scale, config.temperature
    top_k, top_p = config.top_k, config.top_p
    return Sampling(
        guidance=otherwise.guidance if guidance is None else float(guidance),
        temperature=otherwise.temperature if temperature is None else float(temperature),
        top_k=otherwise.top_k if top_k is None else int(top_k),
        top_p=otherwise.top_p if top_p is None else float(top_p),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Errors instead of warnings, which they repeat; progress on a terminal only."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bar and not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
