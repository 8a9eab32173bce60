"""Records of composed scenes: JSON in the table of `train scenes`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.files import parse_json
from spatialspec.quality.scenes.scene import CATEGORIES, COLOURS, NUMBERS, RELATIONS, Box, Scene, Thing


def write_record(scene: Scene) -> str:
    """The scene and its caption as JSON, on one line."""
    return json.dumps({"caption": scene.caption, **asdict(scene)})


def read_record(text: str) -> Scene:
    """Read a scene from its record.

    Raises:
        BadInput: the record is damaged, or its caption belongs to another scene.
    """
    try:
        row = parse_json(text, "a scene")
        things = tuple(Thing(t["concept"], t["colour"], _box(t["box"])) for t in row["things"])
        scene = Scene(row["category"], things, row["relation"], row["style"])
        sound = _sound(scene) and scene.caption == row["caption"]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise BadInput(shown(text), f"a scene as `train scenes` writes it ({error})") from error
    if not sound:
        raise BadInput(shown(text), "a scene that its caption describes", "make the scenes again")
    return scene


def _sound(scene: Scene) -> bool:
    counts = {"single": (1,), "colours": (1,), "counting": tuple(NUMBERS)}.get(scene.category, (2,))
    concepts, coloured = {thing.concept for thing in scene.things}, scene.category in ("colours", "attribution")
    return (
        scene.category in CATEGORIES
        and len(scene.things) in counts
        and len(concepts) == (1 if scene.category == "counting" else len(scene.things))
        and all(isinstance(concept, str) and concept for concept in concepts)
        and all((thing.colour in COLOURS) if coloured else thing.colour is None for thing in scene.things)
        and (scene.relation in RELATIONS if scene.category == "position" else scene.relation == "")
    )


def _box(values: Any) -> Box | None:
    if values is None:
        return None
    left, top, right, bottom = (float(value) for value in values)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise BadInput(f"box {values}", "left, top, right, bottom, from 0 to 1")
    return left, top, right, bottom
