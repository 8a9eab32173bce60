"""Class prompts of LlamaGen: an ImageNet class id, or one of its names."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from spatialspec.core.errors import BadInput, shown
from spatialspec.targets.llamagen.transformer import ClassEmbedding

IMAGENET = 1000


@cache
def imagenet_names() -> dict[str, tuple[int, ...]]:
    """Lower-case name -> ids of the classes with this name; a few names have two ("crane": bird and machine)."""
    lines = Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    names: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(line for line in lines if not line.startswith("#")):
        for name in line.lower().split(", "):
            names[name] = (*names.get(name, ()), number)
    return names


def class_id(prompt: str, classes: int) -> int:
    """The class that a prompt means.

    Args:
        prompt: an id, or a name where there are the 1000 classes of ImageNet.
        classes: number of classes of the model.

    Raises:
        BadInput: no such class, or a name that means several.
    """
    word = " ".join(prompt.lower().split())
    if word.isdecimal():
        number = int(word) if len(word) < 10 else classes
        if number < classes:
            return number
        raise BadInput(f"class {word[:20]}", f"0 to {classes - 1}")
    if classes != IMAGENET:
        raise BadInput(f"prompt {shown(prompt)}", f"a class id, 0 to {classes - 1}", "names are known of ImageNet's")
    names = imagenet_names()
    ids = names.get(word, ())
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise BadInput(f"class {shown(prompt)}, which is {' and '.join(map(str, ids))}", "one", "give the id")
    near = ", ".join(get_close_matches(word[:100], names, 3)) or "tench"
    raise BadInput(
        f"prompt {shown(prompt)}", "a class of ImageNet", f"an id, 0 to {classes - 1}, or a name such as {near}"
    )


class ClassCondition:
    """Prefix states from class prompts.

    Args:
        embedding: of the transformer.
    """

    def __init__(self, embedding: ClassEmbedding) -> None:
        self.embedding = embedding
        self.classes = embedding.embedding_table.num_embeddings - 1

    def save(self, folder: Path) -> None:
        """Nothing: the names of classes ship with the package."""

    def check(self, prompts: Sequence[str]) -> None:
        """Refuse prompts that mean no class.

        Raises:
            BadInput: one does not.
        """
        for prompt in prompts:
            class_id(prompt, self.classes)

    def __call__(self, images: Sequence[Sequence[str]]) -> list[list[Float[Tensor, "1 d"]]]:
        """States of the prompts of every image, "" being no class."""
        device = self.embedding.embedding_table.weight.device
        ids = [[class_id(p, self.classes) if p else self.classes for p in image] for image in images]
        return [list(self.embedding(torch.tensor(image, device=device))) for image in ids]
