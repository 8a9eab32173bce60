"""Scores of composed scenes with their own and with wrong captions: the reliability of a scene judge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from spatialspec.io.files import write_text
from spatialspec.quality.scenes.judge import Detection, SceneJudge
from spatialspec.quality.scenes.scene import CATEGORIES, COLOURS, NUMBERS, RELATIONS, Scene, Thing
from spatialspec.quality.scenes.scores import Count, Reference


def wrong(scene: Scene, concepts: Sequence[str], rng: np.random.Generator) -> Scene:
    """A caption that is wrong in the one point that its category is about; boxes are dropped.

    That is: another concept (single, two), one thing more or less (counting), another colour (colours), the opposite
    relation (position), or swapped colours (attribution).
    """
    bare = tuple(replace(thing, box=None) for thing in scene.things)
    if scene.category == "counting":
        counts = [n for n in (len(bare) - 1, len(bare) + 1) if n in NUMBERS]
        bare = bare[:1] * int(rng.choice(counts))
    elif scene.category == "colours":
        others = [colour for colour in COLOURS if colour != bare[0].colour]
        bare = (replace(bare[0], colour=str(rng.choice(others))),)
    elif scene.category == "attribution":
        bare = (replace(bare[0], colour=bare[1].colour), replace(bare[1], colour=bare[0].colour))
    elif scene.category != "position":
        others = [concept for concept in concepts if concept not in {thing.concept for thing in bare}]
        index = int(rng.integers(len(bare)))
        bare = tuple(Thing(str(rng.choice(others))) if i == index else thing for i, thing in enumerate(bare))
    return replace(scene, things=bare, relation=RELATIONS.get(scene.relation, ""))


def tally(judge: SceneJudge, scenes: Sequence[Scene], detected: Sequence[Sequence[Detection]], seed: int) -> Reference:
    """Count how many composed scenes pass with their own and with wrong captions.

    Args:
        judge: knows the concepts.
        scenes: content of the images.
        detected: things that the judge detects in the images.
        seed: of the wrong captions.
    """
    passed: dict[str, dict[str, list[bool]]] = {"own": {}, "wrong": {}}
    for number, (scene, things) in enumerate(zip(scenes, detected, strict=True)):
        other = wrong(scene, judge.config.concepts, np.random.default_rng((seed, number)))
        for kind, caption in (("own", scene), ("wrong", other)):
            passed[kind].setdefault(scene.category, []).append(judge.holds(caption, things))
    counts = {
        kind: {c: Count(passed=sum(rows[c]), of=len(rows[c])) for c in CATEGORIES if c in rows}
        for kind, rows in passed.items()
    }
    return Reference(own=counts["own"], wrong=counts["wrong"])


def write_references(path: Path, references: Mapping[str, Reference]) -> None:
    """Write the scores of each split as JSON; `read_references` reads them."""
    rows = {name: reference.model_dump() for name, reference in references.items()}
    write_text(path, json.dumps(rows, indent=2) + "\n")
