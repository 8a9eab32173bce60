"""What a training is given: the target, pictures or prompts, and where finished work is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.drafts.corpus import Corpus, captions, from_pictures, readable, split
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.features import Features, Prepared, Streamed, pairs_of
from spatialspec.drafts.image_folder import Pictures
from spatialspec.drafts.lesson import Recipe
from spatialspec.drafts.limits import check_memory
from spatialspec.drafts.origin import Origin, of_captions, of_pictures, of_prompts
from spatialspec.progress import Bar, silent


@dataclass(frozen=True)
class Material:
    """Data of one training.

    Attributes:
        target: the frozen target.
        pictures: real ones with captions; None where only prompts were given.
        prompts: for pictures that the target draws itself; None takes captions of `pictures`.
        count: pictures to learn from; None is the drafter's default.
        work: folder for pictures that the target draws; finished ones are not drawn again.
        feature_files: folder for teacher features, prepared once; None streams them.
        together: the target is split over all processes.
        report: called with a line now and then.
        hub: name of the data set on the Hub that `pictures` are from, if they are.
        bar: makes a progress bar over the tokens of pictures that are read.
    """

    target: Target
    pictures: Pictures | None
    prompts: list[str] | None
    count: int | None
    work: Path
    feature_files: Path | None
    together: bool
    report: Callable[[str], None]
    hub: str | None = None
    bar: Bar = silent

    def words(self, seed: int, count: int, held_out: int) -> tuple[list[str], list[dict[str, str]], int]:
        """Prompts of pictures to draw, the rows that they are from, and how many of them are for the figures.

        There are no rows of prompts from a file.

        Args:
            seed: of the choice of captions.
            count: to learn from, where no number was given.
            held_out: for the figures, where there are enough.

        Raises:
            BadInput: there are too few.
        """
        count = self.count or count
        a_picture = 200 + 4 * self.target.grid.cells
        check_memory(count * a_picture, f"{count} pictures of {self.target.grid} tokens", "take fewer")
        if self.prompts is None:
            if self.pictures is None:
                raise BadInput("neither pictures nor prompts", "--data FOLDER or --self-distil PROMPTS")
            drawn, rows = captions(self.pictures, count + held_out, seed)
            good = self._drawable(drawn)
            words, rows = [drawn[i] for i in good], [rows[i] for i in good]
            if len(words) > held_out:
                return words, rows, held_out
        else:
            enough = None if self.count is None else count + min(held_out, max(1, count // 2))
            words, rows = [self.prompts[i] for i in self._drawable(self.prompts[:enough])], []
            if self.count is not None and len(words) > count:
                return words, rows, len(words) - count
        if len(words) < 2:
            raise BadInput(f"{len(words)} prompts", "at least 2", "one to learn from, one to report on")
        return words, rows, min(held_out, max(1, len(words) // 10))

    def _drawable(self, words: Sequence[str]) -> list[int]:
        """Places of those that the target takes; the others are counted and reported."""
        return readable(words, lambda prompt: self.target.check_prompts([prompt], [""], self.target.grid), self.report)

    def origin(self, rows: Sequence[Mapping[str, str]], count: int, drawn: bool) -> Origin:
        """Where pictures come from, for the card.

        Args:
            rows: of the table that they, or their captions, are from; empty for prompts from a file.
            count: pictures.
            drawn: the target drew them.
        """
        if not rows:
            return of_prompts(count)
        return of_captions(rows, self.hub) if drawn else of_pictures(rows, self.hub)

    def corpora(self, recipe: Recipe, own: bool, count: int, held_out: int) -> tuple[Corpus, Corpus]:
        """Pictures to learn from and for the figures.

        Args:
            recipe: its seed is used.
            own: without prompts, the target draws from captions; otherwise real pictures are taken.
            count: own pictures to learn from, where no number was given.
            held_out: most pictures for the figures.
        """
        if self.prompts is None and not own and self.pictures is not None:
            return from_pictures(self.target, self.pictures, recipe.seed, self.count, held_out, self.report, self.bar)
        words, rows, kept = self.words(recipe.seed, count, held_out)
        codes = self_distil(
            self.target, words, self.work / "pictures", seed=recipe.seed, report=self.report, together=self.together
        )
        return split(words, codes, rows, kept)

    def features(self, corpus: Corpus, recipe: Recipe, drop: float, blocks: Sequence[int] = ()) -> Features:
        """Where the states of a corpus, those after `blocks` too, come from in the steps of a recipe."""
        if self.feature_files is None:
            return Streamed(self.target, corpus, blocks)
        pairs = pairs_of((recipe.draw(step, len(corpus)) for step in range(recipe.steps)), drop)
        return Prepared(
            self.target, corpus, pairs, self.feature_files, recipe.batch, self.report, self.together, blocks
        )
