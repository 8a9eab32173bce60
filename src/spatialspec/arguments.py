"""Reads the arguments of a call, for Python and the command line.

Numbers may be of numpy or torch. None is the default wherever diffusers has one. A number is checked before memory is
allocated in proportion to it. Imports torch only where needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spatialspec.core.arguments import LONGEST, dimensions, listed, nameable, whole
from spatialspec.core.errors import BadInput, shown
from spatialspec.io.prompts import check_prompt

if TYPE_CHECKING:
    import torch

    from spatialspec.core.grid import Grid
    from spatialspec.core.interfaces import Target

IMAGES = 1024  # of one prompt in one call
PROMPTS = "a text, or a list of at least one"


@contextmanager
def reading() -> Iterator[None]:
    """Turn errors of foreign objects, raised while they are read, into BadInput."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        got = f"an argument that cannot be read ({type(error).__name__}: {shown(_text(error))})"
        raise BadInput(got, "plain text, numbers and lists of them") from error


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # of a foreign class
        return ""


def prompts(value: object) -> list[str]:
    """Read a prompt, or a list of at least one.

    Raises:
        BadInput: the value is neither, or no model can draw a prompt.
    """
    if isinstance(value, str):
        return [check_prompt(value)]
    texts = listed("prompt", value, PROMPTS) if isinstance(value, list | tuple) else []
    if not texts:
        raise BadInput(f"prompt {shown(value)}", PROMPTS, "say what to draw")
    return [check_prompt(text, f"prompt {i} of {len(texts)}") for i, text in enumerate(texts, start=1)]


def negatives(value: object, count: int, images: int = 1) -> list[str]:
    """Read negative prompts: one for each of `count` prompts, a text for all of them, or None for none.

    Returns:
        One for each of the `images` of every prompt, "" for none.

    Raises:
        BadInput: another type, another number of them, or a text that no model can read.
    """
    if isinstance(value, list | tuple):
        texts = listed("negative_prompt", value, "one for each prompt")
        if len(texts) != count:
            raise BadInput(f"{len(texts)} negative prompts", f"{count}, one for each prompt")
    else:
        texts = [value] * count
    return [text for text in map(_negative, texts) for _ in range(images)]


def _negative(value: object) -> str:
    blank = value is None or (isinstance(value, str) and not value.strip())
    return "" if blank else check_prompt(value, "negative prompt")


def images(name: str, value: object) -> int:
    """Read the number of images of a prompt; None is 1.

    Raises:
        BadInput: it is not 1 to IMAGES.
    """
    return 1 if value is None else whole(name, value, 1, IMAGES)


def seeds(value: object, generator: object, count: int) -> list[int]:
    """Read the seeds of `count` images.

    Args:
        value: one for each, or that of the first, s, and then image i has s + i; None for those of the generator.
        generator: of PyTorch, or a list, one for each image; None for PyTorch's own.
        count: number of images.

    Raises:
        BadInput: both are set, another type or number of them, or a seed is not 0 to 2^63 - 1.
    """
    from spatialspec.core.noise import image_seed

    if value is not None and generator is not None:
        raise BadInput("a seed and a generator", "one of them")
    if isinstance(value, list | tuple) or dimensions(value):
        several = listed("seed", value, "a whole number, or one for each image")
        if len(several) != count:
            raise BadInput(f"{len(several)} seeds", f"{count}, one for each image")
        return [image_seed(seed, 0) for seed in several]
    if isinstance(generator, list | tuple):
        several = listed("generator", generator, "torch.Generator, or one for each image")
        if len(several) != count:
            raise BadInput(f"{len(several)} generators", f"{count}, one for each image")
        generators = [_generator(item) for item in several]
        return [_draw(item) for item in generators]
    first = _draw(_generator(generator)) if value is None else image_seed(cast("int", value), 0)
    return [image_seed(first, i) for i in range(count)]


def _generator(value: object) -> torch.Generator | None:
    import torch

    if value is not None and not isinstance(value, torch.Generator):
        raise BadInput(f"generator {shown(value)}", "torch.Generator, or one for each image")
    return value


def _draw(generator: torch.Generator | None) -> int:
    import torch

    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device))


def grid(target: Target, size: object = None, height: object = None, width: object = None) -> Grid:
    """Read the size of an image, in tokens, or its height and width in pixels.

    Args:
        target: its default grid replaces a missing size, height or width.
        size: as for `Grid.read`, or None.
        height: in pixels, or None.
        width: in pixels, or None.

    Raises:
        BadInput: size and height or width are set, one is no multiple of a cell's, or the model cannot draw the grid.
    """
    from spatialspec.core.grid import Grid

    if size is not None and not (height is None and width is None):
        raise BadInput("a size in tokens and one in pixels", "one of them", "leave out size, or height and width")
    if size is None:
        if height is None and width is None:
            return target.grid
        rows = _cells("height", height, target.grid.rows, target.patch)
        size = (rows, _cells("width", width, target.grid.columns, target.patch))
    read = Grid.read(size)
    target.check_grid(read)
    return read


def _cells(name: str, value: object, default: int, patch: int) -> int:
    """Number of cells of `patch` pixels along a side."""
    pixels = default * patch if value is None else whole(name, value, 1, 2**20)
    if pixels % patch:
        below = max(1, pixels // patch) * patch
        raise BadInput(f"{name} {pixels}", f"a multiple of {patch} pixels", f"{below} or {below + patch}")
    return pixels // patch


def flag(name: str, value: object) -> bool:
    """Read True or False, of Python or numpy.

    Raises:
        BadInput: the value is no bool.
    """
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return bool(value)
    raise BadInput(f"{name} {shown(value)}", "True or False")


def function(name: str, value: object) -> None:
    """Check a function, or None.

    Raises:
        BadInput: the value cannot be called.
    """
    if value is not None and not callable(value):
        raise BadInput(f"{name} {shown(value)}", "a function, or None")


def among(name: str, value: object, allowed: Sequence[str]) -> None:
    """Check a choice.

    Raises:
        BadInput: it is not in `allowed`.
    """
    if not isinstance(value, str) or value not in allowed:
        raise BadInput(f"{name} {shown(value)}", f"one of {', '.join(allowed)}")


def names(name: str, value: object, allowed: Sequence[str]) -> list[str]:
    """Read a list of choices; None is an empty one.

    Raises:
        BadInput: it is no list, or an item is not in `allowed`.
    """
    several = [] if value is None else listed(name, value, f"a list of {', '.join(allowed)}")
    for word in several:
        among(name, word, allowed)
    return several


def written(value: object, count: int, cells: int, vocabulary: int) -> list[tuple[int, ...]]:
    """Read the tokens of the first cells of each image, from an earlier call; None or an empty list for none.

    Raises:
        BadInput: no list of `count` lists, more than `cells` tokens, or a token is not 0 to V - 1.
    """
    what = "the tokens of every image's first cells"
    images = [()] * count if value is None else listed("written", value, what)
    if not len(images):
        return [()] * count
    if len(images) != count:
        raise BadInput(f"written tokens of {len(images)} images", f"those of {count}")
    read = []
    for image in images:
        tokens = listed("written", () if image is None else image, what)
        if len(tokens) > cells:
            raise BadInput(f"{len(tokens)} written tokens", f"at most {cells}, one for each cell")
        read.append(tuple(whole("a written token", token, 0, vocabulary - 1) for token in tokens))
    return read


def path(name: str, value: object) -> Path:
    """Read a path, which need not exist; a leading `~` is the home folder.

    Raises:
        BadInput: the value is no path, or no file can have it.
    """
    try:
        text = os.path.expanduser(os.fspath(cast("str", value)))
    except Exception:  # of a foreign object, which may raise anything
        text = ""
    if not isinstance(text, str) or not text or not nameable(text):
        raise BadInput(f"{name} {shown(value)}", f"a path, whose names have at most {LONGEST} bytes")
    return Path(text)
