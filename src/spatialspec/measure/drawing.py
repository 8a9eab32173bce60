"""How an image was drawn: the note in its file, from which `generate --again` draws it once more."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from spatialspec import __version__
from spatialspec.core.documents import parse_json
from spatialspec.core.errors import BadInput
from spatialspec.io.hub import cached_name
from spatialspec.io.images import read_note
from spatialspec.measure.documents import Strict, dtype_name
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

EXPECTED = "an image that `spatialspec generate` wrote, unchanged"


class DrawingNote(Strict):
    """Options of `generate` that an image depends on, by their names, and what they do not say.

    Attributes:
        seed: of this image.
        method: name and options, those of presets and of a measured budget too.
        model: as typed; of an absolute path the last part alone, in the cache of the Hub OWNER/NAME@REVISION.
        draft: likewise; null for those of the model.
        draft_model: likewise; null for none.
        fingerprint: of the target's weights.
        version: of this package.
    """

    prompt: str
    negative_prompt: str
    seed: int
    method: str
    model: str
    draft: str | None
    draft_model: str | None = None
    verifier: str
    guidance: float
    temperature: float
    top_k: int
    top_p: float
    min_p: float = 0.0
    size: str
    dtype: str
    fingerprint: str
    version: str = __version__

    @classmethod
    def of(
        cls,
        pipeline: SpatialPipeline,
        method: Method,
        request: Request,
        image: int,
        model: str,
        draft: str | None,
        draft_model: str | None = None,
    ) -> DrawingNote:
        """The note on one image of a request; model, draft and draft model as typed."""
        target, places = pipeline.target, [None if name is None else _place(name) for name in (draft, draft_model)]
        texts = {"prompt": request.prompts[image], "negative_prompt": request.negatives[image], "method": str(method)}
        names = {"model": _place(model), "draft": places[0], "draft_model": places[1]}
        names |= {"verifier": request.verifier, "size": str(request.grid)}
        facts = {"seed": request.seeds[image], "dtype": dtype_name(target.dtype), "fingerprint": target.fingerprint}
        return cls.model_validate({**texts, **names, **facts, **request.sampling.facts()})

    @classmethod
    def read(cls, path: Path) -> DrawingNote:
        """The note in a file.

        Raises:
            BadInput: no image, or one without a note that can be read.
        """
        text = read_note(path)
        if not text:
            raise BadInput("an image without a note", EXPECTED, "give its prompt and seed yourself", path)
        try:
            return cls.model_validate(parse_json(text, path, ""))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadInput(f"a note with a wrong {where}", EXPECTED, "give its options yourself", path) from error

    def text(self) -> str:
        """As it is stored: JSON in ASCII."""
        return json.dumps(self.model_dump())


def _place(name: str) -> str:
    path = Path(name).expanduser()
    return cached_name(path) or path.name if path.is_absolute() else name
