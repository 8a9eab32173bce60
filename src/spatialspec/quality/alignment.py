"""Alignment with the prompt: R-precision by the judge that ships with the package, image by image.

A picture is right if it is closer to its own prompt than to 99 captions of other concepts (`judge.r_precision`); chance
is 1 %. The wrong captions come from the prompts of the run and from a fixed list, in the words and styles of the
embedded model; all methods meet the same ones. The judge knows icons: of photographs it says little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialspec.quality.judge import SHIPPED, Judge, concept_in, r_precision
from spatialspec.quality.sentence import load_sentence_encoder

STYLES = ("3d", "flat", "noto", "twemoji", "fluent", "emojione", "clip art")
_CONCEPTS = """
abacus, anatomical heart, automobile, baguette bread, banjo, bat, bathtub, bed, beverage box, bird, blossom,
blowfish, blueberries, bomb, boomerang, briefcase, broken heart, bubbles, burrito, canoe, carpentry saw, cherries,
cigarette, clamp, club suit, coconut, credit card, cricket, crocodile, deciduous tree, deer, desktop computer, dna,
dog, donkey, egg, fallen leaf, fax machine, feather, fireworks, foot, fried shrimp, ginger root, giraffe, goal net,
goblin, green book, hamster, hedgehog, helicopter, herb, hiking boot, honeybee, hot pepper, ice hockey, joystick,
judge, lacrosse, leg, light rail, linked paperclips, lizard, lobster, lollipop, luggage, magnet, milky way, minibus,
monkey, motor boat, mouse, movie camera, mushroom, name badge, no smoking, optical disk, orange square, oyster,
pancakes, panda, pencil, petri dish, ping pong, playground slide, poodle, post office, postal horn, radioactive, red
circle, red envelope, ribbon, right arrow, robot, rose, rugby football, running shoe, safety vest, saxophone,
seedling, shaved ice, shopping bags, shortcake, shower, skis, spider, spoon, star, stethoscope, stuffed flatbread,
takeout box, tangerine, teapot, telephone, toilet, tomato, tooth, train, tropical drink, trumpet, tumbler glass,
videocassette, volcano, waffle, watermelon, white heart
"""
CONCEPTS = tuple(concept.strip() for concept in _CONCEPTS.split(","))
DISTRACTORS = tuple(f"{concept}, {STYLES[i % len(STYLES)]}" for i, concept in enumerate(CONCEPTS))
AMONG = 100


class Alignment:
    """The shipped judge with the captions of a run.

    Args:
        captions: prompts of the run, repeats allowed.

    Raises:
        NotInstalled: a package with a frozen encoder is missing.
        BadInput: the judge's files are damaged.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.judge = Judge.load(SHIPPED)
        texts = list(dict.fromkeys([*captions, *DISTRACTORS]))
        self._place = {text: column for column, text in enumerate(texts)}
        self._concepts = [concept_in(text) for text in texts]
        self._texts = load_sentence_encoder()(texts)

    @property
    def side(self) -> int:
        """Pixels a side at which the judge sees pictures."""
        return self.judge.config.side

    def hits(self, features: Float[Tensor, "N 1280"], captions: Sequence[str]) -> Bool[np.ndarray, "N"]:
        """Whether every picture's own caption came first among 100.

        Args:
            features: of the pictures, by EfficientNet-Lite0 at `side` pixels.
            captions: one for each, known to the run.
        """
        with torch.inference_mode():
            similarities = self.judge(features, self._texts)
        own = [self._place[caption] for caption in captions]
        return r_precision(similarities, own, self._concepts, AMONG).hits
