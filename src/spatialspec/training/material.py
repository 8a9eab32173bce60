"""What a training is given: the target, pictures or prompts, and where finished work is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatialspec.core.protocols import Target
from spatialspec.training.corpus import Corpus, captions, from_pictures, split
from spatialspec.training.data import Pictures
from spatialspec.training.distil import self_distil
from spatialspec.training.features import Features, Prepared, Streamed, pairs_of
from spatialspec.training.lesson import Recipe


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
    """

    target: Target
    pictures: Pictures | None
    prompts: list[str] | None
    count: int | None
    work: Path
    feature_files: Path | None
    together: bool
    report: Callable[[str], None]

    def words(self, seed: int, count: int, held_out: int) -> tuple[list[str], int]:
        """Prompts of pictures to draw, and how many of them are for the figures.

        Args:
            seed: of the choice of captions.
            count: to learn from, where no number was given.
            held_out: for the figures, where there are enough.

        Raises:
            ValueError: there are too few.
        """
        count = self.count or count
        if self.prompts is None:
            if self.pictures is None:
                raise ValueError("got neither pictures nor prompts, expected --data FOLDER or --self-distil PROMPTS")
            words = self._drawable(captions(self.pictures, count + held_out, seed))
            if len(words) > held_out:
                return words, held_out
        elif self.count is None:
            words = self._drawable(self.prompts)
        else:
            words = self._drawable(self.prompts[: count + min(held_out, max(1, count // 2))])
            if len(words) > count:
                return words, len(words) - count
        if len(words) < 2:
            raise ValueError(f"got {len(words)} prompts, expected at least 2: one to learn from, one to report on")
        return words, min(held_out, max(1, len(words) // 10))

    def _drawable(self, words: list[str]) -> list[str]:
        """Those that the target takes; the others are counted and reported."""
        good = []
        for prompt in words:
            try:
                self.target.check_prompts([prompt], "", self.target.grid)
            except ValueError as error:
                reason = str(error)
            else:
                good.append(prompt)
        if len(good) < len(words):
            self.report(f"left out {len(words) - len(good)} of {len(words)} prompts, the last because: {reason}")
        return good

    def corpora(self, recipe: Recipe, own: bool, count: int, held_out: int) -> tuple[Corpus, Corpus]:
        """Pictures to learn from and for the figures.

        Args:
            recipe: its seed is used.
            own: without prompts, the target draws from captions; otherwise real pictures are taken.
            count: own pictures to learn from, where no number was given.
            held_out: most pictures for the figures.
        """
        if self.prompts is None and not own and self.pictures is not None:
            return from_pictures(self.target, self.pictures, recipe.seed, self.count, held_out)
        words, kept = self.words(recipe.seed, count, held_out)
        codes = self_distil(
            self.target, words, self.work / "pictures", seed=recipe.seed, report=self.report, together=self.together
        )
        return split(words, codes, kept)

    def features(self, corpus: Corpus, recipe: Recipe, drop: float, blocks: Sequence[int] = ()) -> Features:
        """Where the states of a corpus, those after `blocks` too, come from in the steps of a recipe."""
        if self.feature_files is None:
            return Streamed(self.target, corpus, blocks)
        pairs = pairs_of([recipe.draw(step, len(corpus)) for step in range(recipe.steps)], drop)
        return Prepared(
            self.target, corpus, pairs, self.feature_files, recipe.batch, self.report, self.together, blocks
        )
