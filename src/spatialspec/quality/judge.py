"""The judge of text-image alignment: does an image show its prompt? It never trains the generator.

A dual encoder (CLIP: Radford et al., https://arxiv.org/abs/2103.00020) on two frozen networks: EfficientNet-Lite0 for
images, MiniLM for text, and a trained two-layer head each. Its figure is R-precision (AttnGAN: Xu et al.,
https://arxiv.org/abs/1711.10485): how often an image is closer to its own caption than to 99 of other concepts.

Chance is 1 %. The wrong captions are the same for all methods: other prompts of the run, and a fixed list in the words
and styles of the embedded model. The judge is trained on icons; for photographs its figure means little.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_config, write_text
from spatialspec.io.tensors import read_weights, write_weights
from spatialspec.models import WEIGHTS
from spatialspec.quality.encoders import load_sentence_encoder
from spatialspec.targets.icons.sources import concept_in

SHIPPED = WEIGHTS / "judge"
LARGEST = 8192  # bound of the sizes in config.json, so that no file can exhaust the memory


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of the judge, integers from 1 to 8192.

    Attributes:
        picture: features of the image encoder; the key of version 0.1.0.
        text: features of the text encoder.
        hidden: units between the two layers of a head.
        width: dimensions of the common space.
        side: pixels a side of the image encoder's input.

    Raises:
        BadInput: a size is out of range.
    """

    picture: int = 1280
    text: int = 384
    hidden: int = 512
    width: int = 256
    side: int = 128

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or not 1 <= value <= LARGEST:
                raise BadInput(f"{value!r}", f"an integer from 1 to {LARGEST}", where=f"judge: {name}")


class JudgeHead(nn.Sequential):
    """Features of a frozen encoder -> a direction in the common space."""

    def __init__(self, inside: int, hidden: int, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(inside),
            nn.Dropout(dropout),
            nn.Linear(inside, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B width"]:
        """Vectors of length 1."""
        return F.normalize(super().forward(features), dim=-1)


class Judge(nn.Module):
    """Two heads and a temperature.

    Attributes:
        config: sizes.
        log_scale: logarithm of the inverse temperature; only the training loss uses it.
    """

    def __init__(self, config: JudgeConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.pictures = JudgeHead(config.picture, config.hidden, config.width, dropout)
        self.texts = JudgeHead(config.text, config.hidden, config.width, dropout)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def forward(self, images: Float[Tensor, "N image"], texts: Float[Tensor, "C text"]) -> Float[Tensor, "N C"]:
        """Cosine similarity, -1..1, of every image with every caption, from features of the frozen encoders."""
        return self.pictures(images) @ self.texts(texts).T

    def save(self, folder: Path) -> None:
        """Write `judge.safetensors` (bfloat16) and `config.json`, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self, folder / "judge.safetensors")
        write_text(folder / "config.json", json.dumps(asdict(self.config), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Read a judge, frozen and in evaluation mode.

        Raises:
            BadInput: a file is missing, damaged or foreign.
        """
        names = [field.name for field in fields(JudgeConfig)]
        config = read_config(folder / "config.json", names)
        judge = cls(JudgeConfig(**{name: config[name] for name in names}))
        read_weights(judge, folder / "judge.safetensors")
        return judge.eval().requires_grad_(False)


def own_caption_first(
    similarities: Float[Tensor, "N C"],
    own: Int[np.ndarray, "N"] | Sequence[int],
    concepts: Sequence[str],
    among: int = 100,
    seed: int = 0,
) -> Bool[np.ndarray, "N"]:
    """Whether each image is closer to its own caption than to `among - 1` distractors; a tie counts as no.

    The distractors of an image are drawn without replacement: captions of different concepts, none of them the image's.
    The draw depends only on the seed and the image's index: two sets of images of the same prompts get the same
    distractors.

    Args:
        similarities: larger is closer; finite.
        own: column of each image's own caption.
        concepts: concept of each caption (column).
        among: number of captions, including the image's own, at least 2.
        seed: of the draw.

    Raises:
        BadInput: shapes do not fit, a value is not finite, there is no image, or there are too few concepts.
    """
    columns, values = np.asarray(own, dtype=np.int64), similarities.detach().cpu().numpy()
    if values.ndim != 2 or not len(values) or values.shape != (len(columns), len(concepts)):
        got = f"similarities {values.shape} for {len(columns)} images and {len(concepts)} captions"
        raise BadInput(got, "(images, captions) with at least one image")
    if columns.min() < 0 or columns.max() >= len(concepts):
        raise BadInput(f"own captions {columns.min()}..{columns.max()}", f"columns below {len(concepts)}")
    if not np.isfinite(values).all():
        raise BadInput("similarities that are not finite", "numbers", "check the features of the images")
    names, concept_ids = np.unique(np.asarray(concepts), return_inverse=True)
    if among < 2 or len(names) < among:
        raise BadInput(f"captions of {len(names)} concepts", f"at least {max(among, 2)}", "add distractors")
    hits = np.zeros(len(columns), dtype=bool)
    for image, column in enumerate(columns):
        order = np.random.default_rng((seed, image)).permutation(len(concepts))
        order = order[concept_ids[order] != concept_ids[column]]
        first_of_each = np.sort(np.unique(concept_ids[order], return_index=True)[1])
        hits[image] = values[image, column] > values[image, order[first_of_each[: among - 1]]].max()
    return hits


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

    Attributes:
        side: pixels a side of the judge's input.

    Raises:
        NotInstalled: a package with a frozen encoder is missing.
        BadInput: the judge's files are damaged.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.judge = Judge.load(SHIPPED)
        self.side = self.judge.config.side
        texts = list(dict.fromkeys([*captions, *DISTRACTORS]))
        self._columns = {text: column for column, text in enumerate(texts)}
        self._concepts = [concept_in(text) for text in texts]
        self._texts = load_sentence_encoder()(texts)

    @torch.inference_mode()
    def hits(self, features: Float[Tensor, "N 1280"], captions: Sequence[str]) -> Bool[np.ndarray, "N"]:
        """Whether every image's own caption ranks first among 100, from features of EfficientNet-Lite0 at `side`."""
        columns = [self._columns[caption] for caption in captions]
        return own_caption_first(self.judge(features, self._texts), columns, self._concepts, AMONG)
