"""What a call was given, read once: the same checks for Python and for the command line.

Whole numbers of numpy and torch are numbers, None takes a default wherever diffusers has one, and nothing takes memory
in proportion to a number before it was found to be in range. Imports torch where it is needed only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spatialspec.core.arguments import LONGEST, dimensions, listed, nameable, whole
from spatialspec.core.errors import BadInput, shown
from spatialspec.prompts import check_prompt

if TYPE_CHECKING:
    import torch

IMAGES = 1024  # of one prompt in one call
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # as the command line names them, as torch does
AUTO = "auto"  # fp32 on the CPU, bf16 elsewhere
PROMPTS = "a text, or a list of at least one"
SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")  # device maps that accelerate makes


@contextmanager
def reading() -> Iterator[None]:
    """Arguments may be objects of anybody's: one that raises while it is read is bad input.

    Raises:
        BadInput: there is one.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        got = f"an argument that cannot be read ({type(error).__name__}: {shown(_words(error))})"
        raise BadInput(got, "plain text, numbers and lists of them") from error


def _words(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # an error of anybody's, too
        return ""


def prompts(value: object) -> list[str]:
    """Read a prompt, or a list of at least one.

    Raises:
        BadInput: it is anything else, or a prompt that no model can draw.
    """
    if isinstance(value, str):
        return [check_prompt(value)]
    texts = listed("prompt", value, PROMPTS) if isinstance(value, list | tuple) else []
    if not texts:
        raise BadInput(f"prompt {shown(value)}", PROMPTS, "say what to draw")
    return [check_prompt(text, f"prompt {i} of {len(texts)}") for i, text in enumerate(texts, start=1)]


def negatives(value: object, count: int) -> list[str]:
    """Read negative prompts: one for each of `count` prompts, a text for all of them, or None for none.

    Returns:
        One for each prompt, "" for none.

    Raises:
        BadInput: it is anything else, another number of them, or a text that no model can read.
    """
    if isinstance(value, list | tuple):
        texts = listed("negative_prompt", value, "one for each prompt")
        if len(texts) != count:
            raise BadInput(f"{len(texts)} negative prompts", f"{count}, one for each prompt")
        return [_negative(text) for text in texts]
    return [_negative(value)] * count


def _negative(value: object) -> str:
    blank = value is None or (isinstance(value, str) and not value.strip())
    return "" if blank else check_prompt(value, "negative prompt")


def images(name: str, value: object) -> int:
    """Read how many images of a prompt to draw.

    Raises:
        BadInput: it is not 1 to IMAGES.
    """
    return 1 if value is None else whole(name, value, 1, IMAGES)


def seeds(value: object, count: int) -> list[int]:
    """Read the seeds of `count` images: one for each, or that of the first, s, and then image i has s + i.

    Raises:
        BadInput: it is anything else, another number of them, or one that is not 0 to 2^63 - 1.
    """
    from spatialspec.core.noise import image_seed

    if isinstance(value, list | tuple) or dimensions(value):
        several = listed("seed", value, "a whole number, or one for each image")
        if len(several) != count:
            raise BadInput(f"{len(several)} seeds", f"{count}, one for each image")
        return [image_seed(seed, 0) for seed in several]
    first = image_seed(0 if value is None else cast("int", value), 0)
    return [image_seed(first, i) for i in range(count)]


def written(value: object, count: int, cells: int, vocabulary: int) -> list[tuple[int, ...]]:
    """Read the tokens that are written already, for each image those of its first cells; none at all for None.

    Raises:
        BadInput: no list of `count` lists, more than `cells` tokens, or one that is not 0 to V - 1.
    """
    what = "the tokens of every image's first cells"
    rows = [()] * count if value is None else listed("written", value, what)
    if not len(rows):
        return [()] * count
    if len(rows) != count:
        raise BadInput(f"written tokens of {len(rows)} images", f"those of {count}")
    read = []
    for row in rows:
        tokens = listed("written", () if row is None else row, what)
        if len(tokens) > cells:
            raise BadInput(f"{len(tokens)} written tokens", f"at most {cells}, one for each cell")
        read.append(tuple(whole("a written token", token, 0, vocabulary - 1) for token in tokens))
    return read


def path(name: str, value: object) -> Path:
    """Read a path, which need not exist; `~` in front is the home folder.

    Raises:
        BadInput: it is no path, or one that no file can have.
    """
    try:
        text = os.path.expanduser(os.fspath(cast("str", value)))
    except Exception:  # whatever a foreign object raises
        text = ""
    if not isinstance(text, str) or not text or not nameable(text):
        raise BadInput(f"{name} {shown(value)}", f"a path, whose names have at most {LONGEST} bytes")
    return Path(text)


def dtype_name(value: object, argument: str = "dtype") -> str:
    """Read the name of a type of weights: one of DTYPES, as torch names it, or AUTO; `argument` is for the message.

    Raises:
        BadInput: it is none of these.
    """
    name = str(value).removeprefix("torch.") if isinstance(value, str) or type(value).__name__ == "dtype" else ""
    known = {short: short for short in DTYPES} | {full: short for short, full in DTYPES.items()} | {AUTO: AUTO}
    if name not in known:
        raise BadInput(f"{argument} {shown(value)}", f"one of {', '.join([*DTYPES, AUTO])}")
    return known[name]


def dtype(value: object, where: torch.device) -> torch.dtype:
    """Read the type of the weights, by name or as torch has it; None is fp32.

    Raises:
        BadInput: it is none that weights can have.
    """
    import torch

    if value is None or value is torch.float64:
        return torch.float32 if value is None else torch.float64
    name = dtype_name(value)
    if name == AUTO:
        name = "fp32" if where.type == "cpu" else "bf16"
    found: torch.dtype = getattr(torch, DTYPES[name])
    return found


def device(value: object, argument: str = "device") -> torch.device:
    """Read a device that this machine has; None is the CPU, and `argument` is for the message.

    Raises:
        BadInput: it is none; the message lists them.
    """
    import torch

    there = _devices()
    name = "cpu" if value is None else str(value) if isinstance(value, str | torch.device) else ""
    if name == "cpu:0":  # there is one
        name = "cpu"
    if name not in there:
        raise BadInput(f"{argument} {shown(value)}", "one that this machine has", ", ".join(there))
    return torch.device(name)


def _devices() -> list[str]:
    """The CPU, an accelerator, and each of those that there are."""
    import torch

    there = ["cpu"]
    if (other := torch.accelerator.current_accelerator()) is not None and torch.accelerator.is_available():
        there += [other.type, *(f"{other.type}:{i}" for i in range(torch.accelerator.device_count()))]
    return there


def device_map(value: object) -> str | dict[str, torch.device] | None:
    """Read a device map: None, one of SPREAD, a device, or a mapping of names of modules to devices.

    A device may be the number of an accelerator. Which modules there are, the model knows.

    Raises:
        BadInput: it is anything else, or names a device that this machine lacks.
    """
    if value is None or (isinstance(value, str) and value in SPREAD):
        return value
    try:
        if not isinstance(value, Mapping):
            return {"": _place(value)}
        found = {str(name): _place(where) for name, where in dict(value).items() if isinstance(name, str)}
        if found and len(found) == len(value):
            return found
    except Exception:  # BadInput of `device`, and whatever a foreign object raises
        pass
    there = ", ".join(_devices())
    expected = f"{', '.join(SPREAD)}, a device that this machine has, or a mapping of module names to devices"
    raise BadInput(f"device_map {shown(value)}", expected, there)


def _place(value: object) -> torch.device:
    if isinstance(value, int) and not isinstance(value, bool):
        numbered = [name for name in _devices() if name.endswith(f":{value}")] if 0 <= value < IMAGES else []
        return device(numbered[0] if numbered else "")
    return device("" if value is None else value)
