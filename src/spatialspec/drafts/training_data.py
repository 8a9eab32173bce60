"""Data of a training: target, images or prompts, and folders of saved work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.core.progress import Bar, silent
from spatialspec.drafts.card import Origin, of_captions, of_images, of_prompts
from spatialspec.drafts.corpus import Corpus, captions, from_images, readable
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.features import Features, Prepared, Streamed, pairs_of
from spatialspec.drafts.image_folder import CaptionedImages, Row
from spatialspec.drafts.limits import check_memory
from spatialspec.drafts.recipes import Recipe


@dataclass(frozen=True)
class TrainingData:
    """Data of one training.

    Attributes:
        target: the frozen target.
        images: real ones with captions; None with prompts alone.
        prompts: for images that the target draws; None takes captions of `images`.
        count: images of the training set; None is the drafter's default.
        work: folder for images that the target draws; finished ones are reused.
        feature_files: folder for teacher features, prepared once; None streams them.
        together: the target is split over all processes.
        report: called with progress lines.
        hub: name of the data set on the Hub that `images` are from; None for a folder.
        bar: makes a progress bar over the tokens of images that are encoded.
    """

    target: Target
    images: CaptionedImages | None
    prompts: list[str] | None
    count: int | None
    work: Path
    feature_files: Path | None
    together: bool
    report: Callable[[str], None]
    hub: str | None = None
    bar: Bar = silent

    def words(self, seed: int, count: int, held_out: int) -> tuple[list[str], list[Row], int]:
        """Prompts of images to draw, the rows of captions (none for prompts from a file), and how many to hold out.

        Args:
            seed: of the choice of captions.
            count: images of the training set, where `self.count` is None.
            held_out: for the figures, where there are enough.

        Raises:
            BadInput: there are too few prompts.
        """
        count = self.count or count
        bytes_each = 200 + 4 * self.target.layout(self.target.grid).cells
        check_memory(count * bytes_each, f"{count} images of {self.target.grid} tokens", "take fewer")
        prompts, rows, limited = self.prompts, list[Row](), self.count is not None
        if prompts is not None:
            prompts = prompts[: count + min(held_out, max(1, count // 2)) if limited else None]
        elif self.images is not None:
            prompts, rows = captions(self.images, count + held_out, seed)
        else:
            raise BadInput("neither images nor prompts", "--data FOLDER or --self-distil PROMPTS")
        good = readable(prompts, lambda text: self.target.check_prompts([text], [""], self.target.grid), self.report)
        prompts, rows = [prompts[i] for i in good], [rows[i] for i in good] if rows else []
        if rows and len(prompts) > held_out:
            return prompts, rows, held_out
        if self.prompts is not None and limited and len(prompts) > count:
            return prompts, rows, len(prompts) - count
        if len(prompts) < 2:
            raise BadInput(f"{len(prompts)} prompts", "at least 2", "give one for training and one to hold out")
        return prompts, rows, min(held_out, max(1, len(prompts) // 10))

    def corpora(self, recipe: Recipe, drawn: bool, count: int, held_out: int) -> tuple[Corpus, Corpus, bool]:
        """The training set, the held-out set, and whether the target drew them.

        Args:
            recipe: its seed is used.
            drawn: without prompts, the target draws from captions; otherwise real images are taken.
            count: of drawn images in the training set, where `self.count` is None.
            held_out: most images for the figures.
        """
        if self.prompts is None and not drawn and self.images is not None:
            limits = recipe.seed, self.count, held_out
            return *from_images(self.target, self.images, *limits, self.report, self.bar), False
        prompts, rows, last = self.words(recipe.seed, count, held_out)
        codes = self_distil(
            self.target, prompts, self.work / "pictures", seed=recipe.seed, report=self.report, together=self.together
        )
        before = codes.shape[1] - self.target.grid.cells
        corpus, known = Corpus(prompts, codes, rows, before), len(prompts) - last
        return corpus[:known], corpus[known:], True

    def origin(self, corpora: Sequence[Corpus], drawn: bool) -> Origin:
        """Origin of images that the target drew, or of real ones, for the card."""
        rows = [row for corpus in corpora for row in corpus.rows]
        if not rows:
            return of_prompts(sum(map(len, corpora)))
        return of_captions(rows, self.hub) if drawn else of_images(rows, self.hub)

    def features(self, corpus: Corpus, recipe: Recipe, drop: float, layers: Sequence[int] = ()) -> Features:
        """States of a corpus for the steps of a recipe; those after hidden `layers` come first, see `teacher.py`."""
        if self.feature_files is None:
            return Streamed(self.target, corpus, layers)
        pairs = pairs_of((recipe.draw(step, len(corpus)) for step in range(recipe.steps)), drop)
        return Prepared(
            self.target, corpus, pairs, self.feature_files, recipe.batch, self.report, self.together, layers
        )
