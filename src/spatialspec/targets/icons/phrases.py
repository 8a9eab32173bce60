"""Phrases around the name of a thing in prompts as people type them; `{}` stands for the thing."""

from __future__ import annotations

import re
from functools import cache

from spatialspec.targets.icons.meaning import stems
from spatialspec.targets.icons.sources import CALLED, concept_of

FRAMES = (
    "draw {}", "draw me {}", "please draw {}", "can you draw {}", "could you draw me {} please",
    "can you make {} for me", "i want {}", "i would like {}", "i'd like to see {}", "i need {}", "show me {}",
    "give me {}", "make {}", "make me {}", "create {}", "generate {}", "paint {}", "sketch {}", "design {}",
    "let me see {}", "how about {}", "just {}", "here is {}", "this is {}", "look, {}", "there is {}", "i love {}",
    "what does {} look like", "{} please", "{} pls", "{} for me", "picture of {}", "a picture of {}", "pic of {}",
    "an image of {}", "image of {}", "photo of {}", "a photo of {}", "a photograph of {}", "drawing of {}",
    "a drawing of {}", "draw me a picture of {}", "an icon of {}", "icon of {}", "an icon showing {}", "{} icon",
    "{} emoji", "an emoji of {}", "emoji for {}", "emoji: {}", "cartoon of {}", "a cartoon {}", "cartoon {}",
    "an illustration of {}", "illustration of {}", "a logo with {}", "logo of {}", "symbol of {}",
    "a symbol for {}", "{} symbol", "sticker of {}", "{} sticker", "a sketch of {}", "a painting of {}",
    "a render of {}", "{} drawing", "{} picture", "{} illustration", "{} image", "one picture with {}",
    "simple icon of {}", "a simple drawing of {}", "a small picture of {}", "a cute picture of {}",
    "a pictogram of {}", "the word is {}", "i'm looking for {}", "we need {}", "can i have {}", "may i get {}",
    "would you draw {}", "try {}", "show {}", "display {}", "an app icon with {}", "avatar of {}",
)  # fmt: skip

PLACES = (
    "on a plate", "on a table", "in the snow", "in the forest", "in the garden", "at night", "in the sky",
    "on the street", "on a white background", "with a white background", "white background", "for my website",
    "for my app", "for my mom", "for a birthday card", "for kids", "for a poster", "from the side",
    "from the front", "close up", "in the sun", "in summer", "in winter", "on the beach", "at home", "in the city",
    "on the road", "in the kitchen", "in the sea", "in colour", "in color", "with shadow", "centered", "isolated",
    "high quality", "minimal", "very detailed", "on a farm", "in the wild", "on the wall", "on the ground",
    "in a field", "by the river", "that looks nice", "waiting for someone", "looking at me", "full of colour",
    "ready to go", "on a sunny day", "on a rainy day",
)  # fmt: skip

JOINED = (
    "with a", "with an", "with", "with the", "with his", "with her", "with its", "with some", "with two", "in a",
    "in the", "in its", "on a", "on the", "on top of a", "under a", "under the", "near a", "next to a",
    "beside the", "behind a", "at the", "at a", "from", "from the", "for a", "for", "holding a", "wearing a",
    "eating", "inside a", "over the", "and a", "and", "like a", "by the", "of the", "that is", "who is", "while",
    "full of", "without a", "to the", "against a", "for my",
)  # fmt: skip

DOING = (
    "it is raining", "singing a song", "having fun", "sleeping", "dancing", "playing outside", "eating lunch",
    "drinking", "driving fast", "waiting", "looking happy", "looking sad", "jumping around", "flying high",
    "swimming", "going home", "cooking dinner", "reading", "working hard", "running away", "taking a break",
    "growing", "shining", "made of wood", "made of gold", "one leg", "big eyes", "long ears", "curly hair",
    "a smile", "many colours", "small stripes", "friends",
)  # fmt: skip

ADJECTIVES = (
    "red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "grey", "gray",
    "golden", "silver", "big", "small", "tiny", "little", "huge", "large", "giant", "tall", "long", "short",
    "round", "cute", "shiny", "pretty", "beautiful", "nice", "lovely", "funny", "simple", "cool", "fancy", "plain",
    "modern", "old", "new", "old-fashioned", "tasty", "delicious", "yummy", "happy", "sad", "friendly", "fresh",
    "bright", "dark", "colourful", "colorful", "wooden", "metal", "plastic", "glass", "adorable", "fluffy", "furry",
    "juicy", "ripe", "magical", "fast", "slow", "strong", "soft", "hot", "cold", "warm", "clean", "empty", "full",
    "wild", "young", "baby", "sweet", "crispy", "classic", "vintage", "retro", "elegant", "ordinary", "typical",
    "single", "whole", "perfect", "amazing", "awesome", "sleepy", "hungry", "angry", "smiling", "laughing",
    "flying", "running", "sitting", "standing", "open", "closed",
)  # fmt: skip

NUMBERS = (
    "two", "three", "four", "five", "2", "3", "4", "a few", "some", "many", "a pair of", "a couple of", "several",
)  # fmt: skip

DETERMINERS = (
    "the", "my", "this", "one", "some", "your", "that", "another", "any",
)  # fmt: skip

PRONOUNS = (
    "i", "it", "its", "is", "are", "be", "am", "was", "do", "does", "can", "could", "would", "will", "let", "us", "me",
    "my", "you", "your", "we", "he", "she", "they", "them", "his", "her", "their", "this", "that", "these", "those",
    "s", "t", "d", "m", "ll", "re", "ve", "so", "very", "just", "please", "some", "any", "there", "here", "what",
)  # fmt: skip

ENDS = (
    "", "", "", "", "", "", "!", ".", ".", "?", "!!", "...",
)  # fmt: skip

STYLED = (
    "{}, {style}", "{}, {style}", "{}, {style}", "{} {style}", "{style} {}", "{style} {}", "{} in {style}",
    "{} in {style} style", "{}, {style} style", "{style} style {}", "{} as {style}", "{style}: {}", "{} ({style})",
    "{} in the style of {style}", "{style} version of {}", "{style} icon of {}", "{style} picture of {}",
    "{} - {style}",
)  # fmt: skip


@cache
def asides() -> frozenset[str]:
    """Stems of words around the name of a thing, and of those for styles."""
    around = (PLACES, ADJECTIVES, NUMBERS, *CALLED.values())
    return silent() | stems(" ".join(text for group in around for text in group))


@cache
def silent() -> frozenset[str]:
    """Stems of words that say nothing of a thing."""
    groups = FRAMES, DETERMINERS, STYLED, PRONOUNS
    return frozenset(stems(" ".join(text for group in groups for text in group)))


@cache
def style_words() -> re.Pattern[str]:
    """Any name of a style, in a text in the form of `concept_of`."""
    words = sorted({concept_of(name) for names in CALLED.values() for name in names}, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(words)})\b")
