"""The scene judge: is everything there that a scene's caption asks for? GenEval's question, for drawings on white.

Ghosh et al., "GenEval", https://arxiv.org/abs/2310.11513. As there, things are found by a detector, and a picture is
right if its things can be matched with those of the caption: more than asked for do no harm, but in `counting`; a place
is right within 60 degrees of its direction, from middle to middle (theirs also looks at the boxes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8

from spatialspec.core.errors import BadInput
from spatialspec.files import read_config, write_text
from spatialspec.quality.scenes.network import BATCH, Maps, SceneConfig, SceneHead, picture_maps
from spatialspec.quality.scenes.scene import COLOURS, Scene, Thing
from spatialspec.tensors import read_weights, write_weights

HEAT = 0.3
"""Heat of the middle of a thing from which it counts; GenEval's threshold of its detector."""
CONCEPT = 0.05
"""Share that a concept needs to be taken for what is asked for, set by hand; of 61, one has 0.016 by chance."""
COLOUR = 0.5
"""The same of a colour: more than all others together."""
MOST = 9  # things of a picture that are looked at, the hottest


@dataclass(frozen=True)
class Found:
    """A thing in a picture.

    Attributes:
        x, y: its middle, shares of the picture's side.
        concepts: share of each concept; sum 1.
        colours: share of each of COLOURS; sum 1.
    """

    x: float
    y: float
    concepts: Float[np.ndarray, "K"]
    colours: Float[np.ndarray, "C"]


class SceneJudge:
    """A head with its words.

    Attributes:
        head: frozen, in evaluation mode.
    """

    def __init__(self, head: SceneHead) -> None:
        self.head = head.eval().requires_grad_(False)
        self._place = {concept: i for i, concept in enumerate(head.config.concepts)}

    @property
    def config(self) -> SceneConfig:
        """Sizes and words."""
        return self.head.config

    def shows(self, pixels: UInt8[np.ndarray, "B H W 3"], scenes: Sequence[Scene]) -> Bool[np.ndarray, "B"]:
        """Whether each picture shows its scene.

        Args:
            pixels: 0..255, of any size.
            scenes: one for each, of known concepts; boxes are not looked at.

        Raises:
            NotInstalled: the package with the frozen network is missing.
            BadInput: a concept is unknown.
        """
        found = self.find(picture_maps(pixels, self.config.side)) if len(pixels) else []
        return np.array([self.holds(scene, things) for scene, things in zip(scenes, found, strict=True)], dtype=bool)

    @torch.no_grad()
    def find(self, maps: Maps) -> list[list[Found]]:
        """The things in pictures, the hottest first."""
        found: list[list[Found]] = []
        for start in range(0, len(maps[0]), BATCH):
            heat, concepts, colours = self.head(tuple(level[start : start + BATCH] for level in maps))
            peaks = heat.sigmoid() * (F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat)
            for one, what, hue in zip(peaks, concepts.softmax(1), colours.softmax(1), strict=True):
                order = one.flatten().argsort(descending=True, stable=True)[:MOST].tolist()
                cells = one.shape[-1]
                places = [(i // cells, i % cells) for i in order if one.flatten()[i] >= HEAT]
                found.append(
                    [
                        Found((x + 0.5) / cells, (y + 0.5) / cells, what[:, y, x].numpy(), hue[:, y, x].numpy())
                        for y, x in places
                    ]
                )
        return found

    def holds(self, scene: Scene, found: Sequence[Found]) -> bool:
        """Whether what was found is what a scene asks for.

        Raises:
            BadInput: a concept is unknown.
        """
        fits = [[self._is(thing, one) for one in found] for thing in scene.things]
        if scene.category == "counting":
            return sum(fits[0]) == len(scene.things)
        return any(
            all(fits[i][place] for i, place in enumerate(chosen))
            and (not scene.relation or _lies(scene.relation, found[chosen[0]], found[chosen[1]]))
            for chosen in permutations(range(len(found)), len(scene.things))
        )

    def _is(self, thing: Thing, one: Found) -> bool:
        if thing.concept not in self._place:
            raise BadInput(f"the concept {thing.concept!r}", "one that the scene judge knows", "train it")
        of_colour = thing.colour is None or one.colours[COLOURS.index(thing.colour)] >= COLOUR
        return bool(of_colour and one.concepts[self._place[thing.concept]] >= CONCEPT)

    def save(self, folder: Path) -> None:
        """Write `scenes.safetensors` (bfloat16) and `config.json`, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.head, folder / "scenes.safetensors")
        write_text(folder / "config.json", json.dumps(self.config.as_json(), indent=2) + "\n")

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


def _lies(relation: str, one: Found, other: Found) -> bool:
    x, y = one.x - other.x, one.y - other.y
    along = {"left of": -x, "right of": x, "above": -y, "below": y}[relation]
    return along > 0.5 * math.hypot(x, y)
