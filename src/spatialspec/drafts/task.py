"""A training task: the part of a training that depends on the drafter, with data and objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from accelerate import PartialState
from jaxtyping import Float, Int
from torch import Tensor

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.drafts import objectives
from spatialspec.drafts.card import Origin
from spatialspec.drafts.corpus import Corpus
from spatialspec.drafts.features import Features
from spatialspec.drafts.limits import check_memory
from spatialspec.drafts.recipes import Recipe
from spatialspec.drafts.training_data import TrainingData
from spatialspec.io.identity import identity
from spatialspec.methods.network import DraftNetwork

DRAWN, HELD_OUT = 64, 32  # default number of images: of a drawn training set, and for the figures


@dataclass(eq=False)
class DraftTask(ABC):
    """Base of training tasks.

    Attributes:
        target: the frozen target.
        corpus: training set.
        held_out: images for the figures.
        features: the target's states of images of `corpus`.
        recipe: settings.
        source: of the images, for the card.
        data: licences and attribution of the images, for the card.
    """

    target: Target
    corpus: Corpus
    held_out: Corpus
    features: Features
    recipe: Any
    source: str = ""
    data: Origin = field(default_factory=Origin)
    recipe_type: ClassVar[type[Recipe]]
    kind: ClassVar[str] = ""  # in the digest instead of the class's name: names of 0.1.0, so that its states resume
    drawn: ClassVar[bool] = False  # without prompts: train on images that the target draws, or on real ones
    note: ClassVar[str]  # definition of the figures, for the card

    def __post_init__(self) -> None:
        if not len(self.corpus) or not len(self.held_out):
            raise BadInput("an empty corpus", "training images and held-out images")

    @classmethod
    def make(cls, data: TrainingData, recipe: Any) -> Self:
        """Build the task from data.

        Raises:
            BadInput: the recipe does not fit the target, or there is not enough data.
        """
        target = data.target
        layers = cls.layers(target, recipe)  # checked before any image is drawn
        states = recipe.batch * target.layout(target.grid).cells * target.width * 4 // PartialState().num_processes
        check_memory(states, f"the states of {recipe.batch} images", "make --batch smaller")
        corpus, held_out, drawn = data.corpora(recipe, cls.drawn, DRAWN, HELD_OUT)
        source = f"{len(corpus)} {'images that the target drew itself' if drawn else 'real images'}"
        features = data.features(corpus, recipe, recipe.drop, layers)
        return cls(target, corpus, held_out, features, recipe, source, data.origin([corpus, held_out], drawn))

    @classmethod
    def layers(cls, target: Target, recipe: Any) -> Sequence[int]:
        """Hidden layers of the target whose states are inputs, besides the pre-norm ones."""
        return ()

    @property
    def digest(self) -> str:
        """Everything that the result depends on besides the recipe: kind of drafts, target, data."""
        t = self.target
        kind, data = self.kind or type(self).__name__, f"{self.corpus.digest} {self.held_out.digest}"
        return f"{kind} {identity(t)} {t.dtype} {t.default} {t.grid} {data}"

    def __len__(self) -> int:
        return len(self.corpus)

    @abstractmethod
    def build(self) -> DraftNetwork:
        """Untrained drafts."""

    @abstractmethod
    def batch(self, chosen: Int[Tensor, "B"], uniform: Float[Tensor, "B"]) -> Any:
        """Input of `loss` for some examples, with the states of the frozen target; see `Recipe.draw`."""

    @abstractmethod
    def loss(self, drafts: Any, batch: Any) -> Float[Tensor, ""]:
        """The objective, a mean over examples: the mean over processes is then that of the global batch."""

    @abstractmethod
    def evaluate(self, drafts: Any) -> dict[str, float]:
        """Held-out figures by name: mean probabilities of acceptance without guidance, at temperature 1."""

    @abstractmethod
    def score(self, figures: Mapping[str, float]) -> float:
        """Figure by which the best checkpoint is chosen; larger is better."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """One sentence for the card: the network and its training set."""

    @abstractmethod
    def guided(self, drafts: Any) -> dict[str, float]:
        """The figures of `evaluate` for each rule, under the target's default sampling."""

    def figures(self, drafts: Any, evaluated: Mapping[str, float]) -> dict[str, float]:
        """Figures for the card, those of `evaluate` first."""
        unguided = {f"accepted probability, {name}": value for name, value in evaluated.items()}
        return unguided | {f"guided, {name}": value for name, value in self.guided(drafts).items()}

    def objective(
        self,
        guess: Float[Tensor, "*N d"],
        logits: Callable[[Float[Tensor, "*N d"]], Float[Tensor, "*N V"]],
        true: Float[Tensor, "*N d"],
        hidden: Float[Tensor, "*N d"],
        codes: Int[Tensor, "*N"],
    ) -> Float[Tensor, ""]:
        """The recipe's objective; see `objectives.py`.

        Args:
            guess: drafted states, in fp32.
            logits: of a guess in the target's type.
            true: training targets of the guess.
            hidden: the target's pre-norm states at the same cells.
            codes: the tokens at the same cells.
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
