"""A folder of one image a file, with `index.jsonl`, a line for each: what `generate --prompts` draws, and resumes.

An image is on the disk before its line, and its line before the next image. So each line that is there holds, whenever
the process ended: an image without its line, or with a line cut short, is drawn again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from spatialspec.core.errors import BadInput
from spatialspec.core.progress import Progress
from spatialspec.io.files import inside, write_bytes
from spatialspec.io.identity import check_same
from spatialspec.io.images import encoded
from spatialspec.measure.drawing import DrawingNote
from spatialspec.measure.runs import draw
from spatialspec.methods.method import Method
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request

INDEX = "index.jsonl"


class IndexLine(DrawingNote):
    """How an image was drawn, and what it cost.

    Attributes:
        file: in the folder of the index.
        sha256: of the file.
        passes: of the target, the prefill too.
        accepted_length: cells committed per pass that commits.
        seconds: until its last token.
        remarks: on its prompt, see `generation.remarks`.
    """

    file: str
    sha256: str
    passes: int
    accepted_length: float
    seconds: float
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptRun:
    """Images to draw, prompt by prompt: those of one prompt together, so that each is the same whoever draws it.

    Attributes:
        request: all of them.
        method: name and options.
        model: as typed.
        draft: as typed; None for those of the model.
        draft_model: as typed; None for none.
    """

    request: Request
    method: str
    model: str
    draft: str | None
    draft_model: str | None = None

    def name(self, image: int) -> str:
        """File of an image: numbers of its prompt and, within it, of the image, from 0."""
        prompt, number = divmod(image, self.request.images)
        return f"{prompt:06d}-{number:04d}.png"

    def note(self, pipeline: SpatialPipeline, image: int) -> DrawingNote:
        """What an image depends on; its file holds it."""
        names = self.model, self.draft, self.draft_model
        return DrawingNote.of(pipeline, Method.parse(self.method), self.request, image, *names)

    def images(self, prompt: int) -> range:
        """Indices of the images of a prompt."""
        return range(prompt * self.request.images, (prompt + 1) * self.request.images)

    def draw(self, pipeline: SpatialPipeline, prompt: int, report: Progress) -> list[tuple[IndexLine, bytes]]:
        """Lines and files of the images of a prompt."""
        images, found = self.images(prompt), []
        samples = draw(pipeline, Method.parse(self.method), self.request.only(images), report)
        for image, sample in zip(images, samples, strict=True):
            note = self.note(pipeline, image)
            file = encoded(sample.image, ".png", note.text())
            cost = {"passes": sample.cost.passes, "accepted_length": sample.cost.accepted_length}
            about = {"file": self.name(image), "sha256": _digest(file), "seconds": sample.cost.seconds, **cost}
            line = IndexLine.model_validate({**note.model_dump(), **about, "remarks": sample.report.remarks})
            found.append((line, file))
        return found


class ImageIndex:
    """The images of a folder. Lines whose files are gone or changed are dropped when it is opened.

    Args:
        folder: an existing one, in which no other process writes.
        run: that is to be drawn there.
        pipeline: to draw it with.

    Attributes:
        folder: see Args.
        files: that are there.

    Raises:
        BadInput: the folder holds another run, which is never overwritten, or a line of its index is damaged.
    """

    def __init__(self, folder: Path, run: PromptRun, pipeline: SpatialPipeline) -> None:
        self.folder, self._path, self.files = folder, folder / INDEX, set[str]()
        wanted = {run.name(image): image for image in range(len(run.request.prompts))}
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        hold = list[bytes]()
        for number, text in enumerate(lines, 1):
            if not text.endswith(b"\n"):  # the last one, cut short
                break
            where, advice = f"{self._path}, line {number}", "choose another --out"
            try:
                line = IndexLine.model_validate_json(text)
            except ValidationError as error:
                raise BadInput("no line of an index", "one of `generate --prompts`", advice, where) from error
            if line.file in wanted:
                facts = run.note(pipeline, wanted[line.file]).model_dump()
                check_same(facts, line.model_dump(include={*DrawingNote.model_fields}), where, advice)
            if _holds(inside(folder, line.file, where), line):
                hold.append(text)
                self.files.add(line.file)
        if hold != lines:
            write_bytes(self._path, b"".join(hold))

    def add(self, line: IndexLine, file: bytes) -> None:
        """Write an image, and then its line, unless they are there: they are drawn with others of their prompt."""
        if line.file in self.files:
            return
        write_bytes(self.folder / line.file, file)
        with self._path.open("ab") as index:
            index.write(f"{line.model_dump_json()}\n".encode())
            index.flush()
            os.fsync(index.fileno())
        self.files.add(line.file)


def _holds(path: Path, line: IndexLine) -> bool:
    try:
        return _digest(path.read_bytes()) == line.sha256
    except OSError:
        return False


def _digest(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()
