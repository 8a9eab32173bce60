"""The scene judge: does an image show everything in its caption? GenEval's question, for drawings on white.

Ghosh et al., "GenEval", https://arxiv.org/abs/2310.11513. As there, a detector finds things, and an image passes if
its things can be matched with those of the caption. Additional things are ignored, except in `counting`. A relation
holds within 60 degrees of its direction, from centre to centre (GenEval also compares the boxes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8

from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_config, write_text
from spatialspec.io.tensors import read_weights, write_weights
from spatialspec.quality.scenes.network import BATCH, Maps, SceneConfig, SceneHead, image_maps
from spatialspec.quality.scenes.scene import COLOURS, Scene, Thing

HEAT = 0.3
"""Smallest heat at the centre of a detected thing; GenEval's detector has this threshold."""
CONCEPT = 0.05
"""Smallest probability of an accepted concept, set by hand; a uniform guess among 61 has 0.016."""
COLOUR = 0.5
"""The same for a colour: at least as much as all others together."""
MOST = 9  # detections of an image, those of the largest heat


@dataclass(frozen=True)
class Detection:
    """A thing in an image.

    Attributes:
        x, y: its centre, shares of the image's side.
        concepts: probability of each concept; sum 1.
        colours: probability of each of COLOURS; sum 1.
    """

    x: float
    y: float
    concepts: Float[np.ndarray, "K"]
    colours: Float[np.ndarray, "C"]


class SceneJudge:
    """A head with the concepts that it knows.

    Attributes:
        head: frozen, in evaluation mode.
    """

    def __init__(self, head: SceneHead) -> None:
        self.head = head.eval().requires_grad_(False)
        self._concepts = {concept: i for i, concept in enumerate(head.config.concepts)}

    @property
    def config(self) -> SceneConfig:
        """Sizes and words."""
        return self.head.config

    def shows(self, pixels: UInt8[np.ndarray, "B H W 3"], scenes: Sequence[Scene]) -> Bool[np.ndarray, "B"]:
        """Whether each image shows its scene.

        Args:
            pixels: 0..255, of any size.
            scenes: one for each, of known concepts; boxes are ignored.

        Raises:
            NotInstalled: the package with the frozen network is missing.
            BadInput: a concept is unknown.
        """
        detected = self.find(image_maps(pixels, self.config.side)) if len(pixels) else []
        return np.array([self.holds(*pair) for pair in zip(scenes, detected, strict=True)], dtype=bool)

    @torch.no_grad()
    def find(self, maps: Maps) -> list[list[Detection]]:
        """The things in images, by descending heat."""
        detected = []
        for start in range(0, len(maps[0]), BATCH):
            heat, concepts, colours = self.head(tuple(level[start : start + BATCH] for level in maps))
            peaks = heat.sigmoid() * (F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat)
            for image, what, hue in zip(peaks, concepts.softmax(1), colours.softmax(1), strict=True):
                cells, things = image.shape[-1], []
                for index in image.flatten().argsort(descending=True, stable=True)[:MOST].tolist():
                    y, x = divmod(index, cells)
                    if image[y, x] >= HEAT:
                        centre = (x + 0.5) / cells, (y + 0.5) / cells
                        things.append(Detection(*centre, what[:, y, x].numpy(), hue[:, y, x].numpy()))
                detected.append(things)
        return detected

    def holds(self, scene: Scene, detections: Sequence[Detection]) -> bool:
        """Whether the things in an image are those of a scene.

        Raises:
            BadInput: a concept is unknown.
        """
        fits = [[self._is(thing, one) for one in detections] for thing in scene.things]
        if scene.category == "counting":
            return sum(fits[0]) == len(scene.things)
        return any(
            all(fits[thing][index] for thing, index in enumerate(chosen))
            and (not scene.relation or _lies(scene.relation, detections[chosen[0]], detections[chosen[1]]))
            for chosen in permutations(range(len(detections)), len(scene.things))
        )

    def _is(self, thing: Thing, one: Detection) -> bool:
        if thing.concept not in self._concepts:
            raise BadInput(f"the concept {thing.concept!r}", "one that the scene judge knows", "train it")
        of_colour = thing.colour is None or one.colours[COLOURS.index(thing.colour)] >= COLOUR
        return bool(of_colour and one.concepts[self._concepts[thing.concept]] >= CONCEPT)

    def save(self, folder: Path) -> None:
        """Write `scenes.safetensors` (bfloat16) and `config.json`, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.head, folder / "scenes.safetensors")
        write_text(folder / "config.json", json.dumps(asdict(self.config), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> SceneJudge:
        """Read a judge.

        Raises:
            BadInput: a file is missing, damaged or foreign; one line.
        """
        names = [field.name for field in fields(SceneConfig)]
        config = read_config(folder / "config.json", names)
        words: dict[str, Any] = {name: tuple(v) if isinstance(v := config[name], list) else v for name in names}
        head = SceneHead(SceneConfig(**words))
        read_weights(head, folder / "scenes.safetensors")
        return cls(head)


def _lies(relation: str, one: Detection, other: Detection) -> bool:
    x, y = one.x - other.x, one.y - other.y
    along = {"left of": -x, "right of": x, "above": -y, "below": y}[relation]
    return along > 0.5 * math.hypot(x, y)
