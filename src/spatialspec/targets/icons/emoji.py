"""Emoji in prompts become their names."""

from __future__ import annotations

import unicodedata

JOINERS = {"\ufe0f", "\u200d", *map(chr, range(0x1F3FB, 0x1F400))}  # within emoji: selectors, joiners, skin tones
FORMS = {"black", "white", "heavy", "medium"}  # in names of symbols: filled, outlined


def spelled(prompt: str) -> str:
    """A prompt with the names of its emoji in their place: "a \U0001f34e" -> "a red apple".

    Names are those of Unicode, without the words for the form of old symbols ("heavy black heart"). Flags of two
    letters have no names there and stay.
    """
    if not any(map(_name, prompt)):
        return prompt
    bare = "".join(c for c in prompt if c not in JOINERS)
    return " ".join("".join(f" {_name(c)} " if _name(c) else c for c in bare).split())


def _name(character: str) -> str:
    """Name of an emoji, "" for any other character."""
    if character < "\u2190" or unicodedata.category(character) != "So" or "\U0001f1e6" <= character <= "\U0001f1ff":
        return ""
    words = unicodedata.name(character, "").lower().split()
    return " ".join(word for word in words if character > "\u2bff" or word not in FORMS)
