"""What lessons on a corpus of pictures have in common: where it comes from, the target's laws, the objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from accelerate import PartialState
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.drafts import objectives
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.features import Features
from spatialspec.drafts.limits import check_memory
from spatialspec.drafts.material import Material
from spatialspec.drafts.origin import Origin
from spatialspec.identity import identity

OBJECTIVES = ("cross-entropy", "kl", "total-variation", "features")
OWN, HELD_OUT = 64, 32  # pictures that the target draws to learn from; pictures for the figures


@dataclass(eq=False)
class CorpusLesson:
    """Base of such lessons.

    Attributes:
        target: the frozen target.
        corpus: what to learn from.
        held_out: what the figures are taken on.
        features: the target's states of pictures of `corpus`.
        recipe: settings, with `objective` and `drop` among them.
        source: of the pictures, for the card.
        data: where the pictures come from, for the card.
    """

    target: Target
    corpus: Corpus
    held_out: Corpus
    features: Features
    recipe: Any
    source: str = ""
    data: Origin = field(default_factory=Origin)
    own: ClassVar[bool] = False  # without other wishes: from pictures that the target draws itself, or from real ones

    @classmethod
    def make(cls, material: Material, recipe: Any) -> Self:
        """The lesson on some material.

        Raises:
            BadInput: the recipe does not fit the target, or the material is not enough.
        """
        target = material.target
        blocks = cls.blocks(target, recipe)  # looked at before any picture is drawn
        states = recipe.batch * target.grid.cells * target.width * 4
        check_memory(
            states // PartialState().num_processes, f"the states of {recipe.batch} pictures", "make --batch smaller"
        )
        corpus, held_out = material.corpora(recipe, cls.own, OWN, HELD_OUT)
        made = material.prompts is not None or cls.own
        source = f"{len(corpus)} {'pictures that the target drew itself' if made else 'real pictures'}"
        features = material.features(corpus, recipe, recipe.drop, blocks)
        data = material.origin([*corpus.rows, *held_out.rows], len(corpus) + len(held_out), made)
        return cls(target, corpus, held_out, features, recipe, source, data)

    def __post_init__(self) -> None:
        if not len(self.corpus) or not len(self.held_out):
            raise BadInput("an empty corpus", "pictures to train drafts on and some to report on")

    @classmethod
    def blocks(cls, target: Target, recipe: Any) -> Sequence[int]:
        """Blocks of the target whose states are learned from beside the last ones."""
        return ()

    @property
    def digest(self) -> str:
        """See :class:`Lesson`."""
        t, kind = self.target, type(self).__name__
        return f"{kind} {identity(t)} {t.dtype} {t.default} {t.grid} {self.corpus.digest} {self.held_out.digest}"

    def __len__(self) -> int:
        return len(self.corpus)

    def objective(
        self,
        guess: Float[Tensor, "*N d"],
        logits: Callable[[Float[Tensor, "*N d"]], Float[Tensor, "*N V"]],
        true: Float[Tensor, "*N d"],
        hidden: Float[Tensor, "*N d"],
        codes: Int[Tensor, "*N"],
    ) -> Float[Tensor, ""]:
        """The recipe's objective.

        Args:
            guess: drafted states, in fp32.
            logits: of a guess in the target's type.
            true: what the guess should have been.
            hidden: the target's pre-norm states there.
            codes: the tokens there.
        """
        name = self.recipe.objective
        if name == "features":
            return objectives.feature_regression(guess, true.float())
        drafted = logits(guess.to(hidden.dtype)).float()
        if name == "cross-entropy":
            return objectives.cross_entropy(drafted, codes)
        measure = objectives.kl if name == "kl" else objectives.total_variation
        return measure(drafted, self.target_logits(hidden).softmax(-1))

    def target_logits(self, hidden: Float[Tensor, "*N d"]) -> Float[Tensor, "*N V"]:
        """Logits of the target's pre-norm states."""
        return self.target.output(self.target.norm(hidden)).float()
