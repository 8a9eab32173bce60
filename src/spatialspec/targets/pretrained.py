"""Loading a checkpoint of transformers: from its folder only, shard by shard, with every key accounted for."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from transformers import CONFIG_MAPPING, GenerationConfig, PreTrainedModel
from transformers.utils import logging as bars

from spatialspec.core.errors import BadInput, shown
from spatialspec.core.sampling import Sampling
from spatialspec.io.pipeline_folder import processor_folder
from spatialspec.targets.images import check_pixels
from spatialspec.targets.model_files import FETCH, LARGEST, check_side_files, numbers, read_model_config
from spatialspec.targets.placing import check_cover, check_weights, devices_of
from spatialspec.targets.registry import DeviceMap

Model = TypeVar("Model", bound=PreTrainedModel)
GENERATION = "generation_config.json"
PROCESSOR = "fetch processor_config.json, preprocessor_config.json and the tokenizer's files too"
SLACK, LITTLE = 2, 1 << 20  # a model has at most so many times the numbers of its files, and so many more
NEUTRAL: dict[str, tuple[Any, ...]] = {  # settings of transformers that are not followed -> values without effect
    "do_sample": (True,), "typical_p": (1,), "repetition_penalty": (1,), "num_beams": (1,),
    "epsilon_cutoff": (0,), "eta_cutoff": (0,), "top_h": (), "no_repeat_ngram_size": (0,), "bad_words_ids": ([],),
    "suppress_tokens": ([],), "begin_suppress_tokens": ([],), "sequence_bias": ({},), "penalty_alpha": (0,),
    "exponential_decay_length_penalty": (), "watermarking_config": (), "encoder_repetition_penalty": (1,),
    "diversity_penalty": (0,), "forced_bos_token_id": (), "forced_eos_token_id": (), "min_length": (0,),
}  # fmt: skip
LIBRARIES = ("transformers", "huggingface_hub", "accelerate")  # whose loggers quote files
CLASSES = ("tokenizer_class", "processor_class", "image_processor_type", "feature_extractor_type")
ADVICE = re.compile(r"https?:|\b(?:please|make sure|you need|should have)\b", re.IGNORECASE)  # not to be passed on


def load_model(
    kind: type[Model],
    folder: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: DeviceMap | None = None,
    options: Mapping[str, Any] | None = None,
) -> Model:
    """Load a model from safetensors, straight onto its devices.

    Args:
        kind: class of transformers.
        folder: of the checkpoint.
        device: of the whole model without a device map.
        dtype: of all weights.
        device_map: as in transformers; offloading is refused.
        options: further arguments of its `from_pretrained`.

    Raises:
        BadInput: the weights do not fit into memory, or one is missing, left over, of another shape or offloaded, or a
            file is damaged.
    """
    checkpoint = f"a checkpoint of {kind.__name__}"
    settings, shapes = read_model_config(folder, kind.config_class)
    check_side_files(folder)
    loader: Any = kind
    model: Model
    report: dict[str, Any]
    with whole(checkpoint, folder / "config.json"), quiet():
        config = loader.config_class.from_dict(settings)
        with torch.device("meta"):
            bare: PreTrainedModel = kind(config)
        parts = dict([*bare.named_parameters(), *bare.named_buffers()])
        count = sum(tensor.numel() for tensor in parts.values())
    if isinstance(device_map, Mapping):
        check_cover(device_map, parts, kind.__name__)
    stored = numbers(shapes)
    if count > SLACK * stored + LITTLE:
        raise BadInput(
            f"sizes for {count:,} numbers",
            f"those of the {stored:,} in the weights",
            "fetch both again, one of them is another model's",
            folder / "config.json",
        )
    if "quantization_config" not in (options or {}):
        weights, buffers = (sum(t.numel() for t in bare.parameters()), sum(t.nbytes for t in bare.buffers()))
        check_weights(weights, dtype, devices_of(device, device_map), folder, buffers)
    advice = f"check {', '.join(options)}, or {FETCH}" if options else FETCH
    with whole(checkpoint, folder, advice):
        model, report = loader.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map=({"": device} if device != "cpu" else None) if device_map is None else device_map,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below, as the error of transformers does not
            **(options or {}),
        )
    if misfits := sorted(report["mismatched_keys"]):
        misfit = ", ".join(f"{name} {tuple(got)} instead of {tuple(wanted)}" for name, got, wanted in misfits[:4])
        raise BadInput(
            f"{misfit} ({len(misfits)} in all)",
            f"the shapes that {kind.__name__} has by config.json",
            "fetch both again, one of them is another model's",
            where=folder,
        )
    for what, keys in (("no weights for", report["missing_keys"]), ("surplus weights", report["unexpected_keys"])):
        if keys:
            some = ", ".join(sorted(keys)[:4])
            raise BadInput(
                f"{what} {some} ({len(keys)} in all)",
                f"those of {kind.__name__} and no others",
                "fetch it again, or check that it is this kind of model",
                where=folder,
            )
    if moved := next((name for name, weight in model.named_parameters() if weight.is_meta), None):
        advice = "give a device or a device_map that holds all of it, a smaller model, or a quantization_config"
        raise BadInput(f"{moved} offloaded, for want of room", "all weights on devices", advice, folder)
    return model.eval().requires_grad_(False)


def load_processor(kind: type[Any], folder: Path) -> Any:
    """Load the processor of a model; no code in its folder is run.

    Args:
        kind: class of transformers.
        folder: of the checkpoint.

    Raises:
        BadInput: it is missing, or a file of it is damaged.
    """
    config, _ = read_model_config(folder)
    with whole("a configuration of transformers", folder / "config.json"), quiet():  # which tokenizers read too
        CONFIG_MAPPING[config["model_type"]].from_dict(config)
    folder = processor_folder(folder)
    settings = check_side_files(folder)
    nested = settings.get("processor_config.json", {}).get("image_processor")
    name = "preprocessor_config.json" if nested is None else "processor_config.json"
    check_pixels(settings.get(name, {}) if nested is None else nested, folder / name)
    try:
        with whole("a processor beside the weights", folder, PROCESSOR), quiet():
            return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except BadInput as error:
        _blame(settings, folder, error)
        raise


def _blame(settings: Mapping[str, dict[str, Any]], folder: Path, error: BadInput) -> None:
    """Raise an error with the file and key of an unknown class, if there is one."""
    for file, content in settings.items():
        nested = content.get("image_processor")
        for part in (content, nested if isinstance(nested, dict) else {}):
            for key in CLASSES:
                if (name := part.get(key)) is not None and (not isinstance(name, str) or name not in dir(transformers)):
                    expected = "the name of a class of transformers"
                    raise BadInput(f"{key} {shown(name)}", expected, FETCH, folder / file) from error


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


def recommended(model: Any, otherwise: Sampling) -> Sampling:
    """Sampling of the model's `generation_config.json`; `otherwise` has the defaults.

    Raises:
        BadInput: a setting is no number, or out of range.
    """
    config, where = model.generation_config, Path(str(model.name_or_path)) / GENERATION
    read: dict[str, Any] = {}
    for name, key in (
        ("guidance", "guidance_scale"),
        *((name, name) for name in ("temperature", "top_k", "top_p", "min_p")),
    ):
        value, whole = getattr(config, key, None), name == "top_k"
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise BadInput(f"{key} {shown(value)}", f"a {'whole ' * whole}number", FETCH, where)
        read[name] = value if whole or abs(value) > LARGEST else float(value)
    try:
        return replace(otherwise, **read)
    except BadInput as error:
        raise BadInput(error.got, error.expected, FETCH, where) from error


def tell_ignored(config: GenerationConfig, name: str) -> None:
    """Warn of settings of `generation_config.json` that affect transformers and have no effect here."""
    values = ((key, getattr(config, key, None)) for key in NEUTRAL)
    ignored = [f"{key} {shown(value)}" for key, value in values if value is not None and value not in NEUTRAL[key]]
    if ignored:
        warnings.warn(
            f"{name}: {', '.join(ignored)} of {GENERATION} ignored: guidance, temperature, top-k and top-p are "
            "followed (temperature 0 is greedy)",
            stacklevel=2,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Errors instead of messages and warnings, which repeat them in words of a file; progress on a terminal only."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels, bar = [logger.level for logger in loggers], bars.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    if bar and not sys.stderr.isatty():
        bars.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bar:
            bars.enable_progress_bar()


@contextmanager
def whole(expected: str, where: Path, advice: str = FETCH) -> Iterator[None]:
    """Convert errors of a library that reads files into BadInput, without its advice and log messages."""
    try:
        with quiet():
            yield
    except BadInput:
        raise
    except Exception as error:
        sentences = re.split(r"(?<=[.?!:]) ", " ".join(str(error).split()))
        reason = " ".join(text for text in sentences if not ADVICE.search(text))[:300]
        raise BadInput(f"one that does not load ({reason or type(error).__name__})", expected, advice, where) from error
