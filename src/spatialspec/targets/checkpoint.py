"""Base of targets in checkpoints of transformers: loading, and recommended sampling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from spatialspec.core.sampling import Sampling
from spatialspec.io.hub import title
from spatialspec.targets.derived import Derived
from spatialspec.targets.language_decoder import LanguageDecoder
from spatialspec.targets.pretrained import load_model, quiet, recommended, tell_ignored
from spatialspec.targets.registry import DeviceMap
from spatialspec.targets.words import Words


class CheckpointTarget(ABC):
    """A model of transformers with its tokenizer.

    Attributes:
        kind: class of transformers.
        authors: sampling of the published code, for values that generation_config.json does not set.
        name: shown in reports and errors.
        model: of transformers; it may be changed between two images, so no part of it is copied permanently.
        decoder: the hidden layers of the language model.
        words: the tokenizer of prompts.
    """

    kind: ClassVar[type[PreTrainedModel]]
    authors: ClassVar[Sampling]
    name: str
    model: Any
    decoder: LanguageDecoder
    words: Words

    def _begin_with(self, name: str, model: Any, decoder: nn.Module, words: Words) -> None:
        """Set the attributes and check the generation settings."""
        self.name, self.model, self.decoder, self.words = name, model, LanguageDecoder(decoder), words
        self._codebook = Derived[Tensor](lambda weight: weight)
        tell_ignored(model.generation_config, name)
        _ = self.default

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        device_map: DeviceMap | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Load a checkpoint; small files are read first.

        Raises:
            BadInput: a file is missing or damaged, or a weight is missing, left over or of another shape.
        """
        make: Any = cls
        parts = cls.read_parts(folder)
        model = load_model(cls.kind, folder, device, dtype, device_map, options or {})
        target: Self = make(model, name=title(folder), **parts)
        return target

    @classmethod
    @abstractmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load what the constructor takes besides model and name, by argument.

        Raises:
            BadInput: a file is missing or damaged.
        """

    def save(self, folder: Path) -> None:
        """Write model and processor, as they are now, into a folder that `from_folder` takes."""
        with quiet():
            self.model.save_pretrained(folder)
            if (processor := getattr(self, "processor", None)) is not None:
                processor.save_pretrained(folder)

    @property
    def default(self) -> Sampling:
        """Sampling of generation_config.json, completed by that of the published code."""
        return recommended(self.model, self.authors)
