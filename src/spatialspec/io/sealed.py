"""JSON objects with a hash of their contents, to detect changed or truncated files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spatialspec.core.documents import parse_json
from spatialspec.core.errors import BadInput
from spatialspec.io.files import read_text, write_text
from spatialspec.io.identity import facts_digest

SEAL = "hash"  # key of the hash of all other entries
LARGEST = 2**26  # bytes of an image file or its record


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with a hash of its contents.

    Raises:
        OSError: it could not be written.
    """
    write_text(path, json.dumps({**value, SEAL: facts_digest(value)}) + "\n")


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Read an object of `write_sealed`; None if it is missing or was changed."""
    try:
        document = parse_json(read_text(path, limit=LARGEST), path)
    except BadInput:
        return None
    if not isinstance(document, dict) or SEAL not in document:
        return None
    seal = document.pop(SEAL)
    return document if seal == facts_digest(document) else None
