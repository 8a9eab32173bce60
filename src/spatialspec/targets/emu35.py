"""Emu3.5-Image (arXiv 2510.26583): a language model in the parts of Qwen3, in folders that `convert` has written.

The tokenizer has a name for each of the 131,072 codes, behind all of text. The size of the image stands in the prompt,
digit by digit, so any grid can be drawn; a row ends in the token `<|extra_200|>`. The prompts, the sampling and the
sizes are those of the published code (baaivision/Emu3.5: configs/example_config_t2i.py, src/utils/logits_processor.py).
Its guidance of log-probabilities differs from that of logits by a constant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedModel, Qwen3ForCausalLM

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.causal_target import CausalTarget
from spatialspec.targets.chameleon.files import FILE
from spatialspec.targets.chameleon.images import DrawsWithChameleon
from spatialspec.targets.chameleon.vq import ChameleonVQ

ROW_END = "<|extra_200|>"
USUAL = Grid(55, 73)  # rows and columns that the published example draws, 880 x 1168 pixels


class Emu35Target(CausalTarget, DrawsWithChameleon):
    """An Emu3.5-Image with its tokenizer and image decoder, which has the parts of Chameleon's.

    Args:
        model: loaded model, which is not changed.
        processor: its tokenizer.
        name: shown in reports and errors.
        vq: its image decoder; by default that in the folder that the model was loaded from.

    Raises:
        BadInput: the image decoder is missing, or the tokenizer is not Emu3.5's.
    """

    kind: ClassVar[type[PreTrainedModel]] = Qwen3ForCausalLM
    authors = Sampling(guidance=5.0, top_k=5120)
    first, last, control = "<|extra_203|>", "<|image token|>", (ROW_END,)
    image = "<|visual token 000000|>"
    prompt = "You are a helpful assistant for t2i task. USER: {} ASSISTANT: <|extra_100|>"
    negative = "You are a helpful assistant. USER: {} ASSISTANT: <|extra_100|>"
    unconditional = negative.format("")
    encodes = False  # its quantizer chooses by the inner product

    def __init__(self, model: PreTrainedModel, processor: Any, name: str, vq: ChameleonVQ | None = None) -> None:
        count = self.take_model(model, processor, name)
        self.take_decoder(str(model.config.name_or_path), vq)
        self.grid, self._row_end = USUAL, tuple(self.words.ids(ROW_END))
        self.take_codes(count, len(self.vq.codebook))

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """As in the base."""
        if not (folder / FILE).is_file():
            advice = "it is a model of text, or was not converted with --vq: see docs/targets/emu35.md"
            raise BadInput("a Qwen3 without an image decoder", f"{FILE} beside it", advice, folder)
        return super().read_parts(folder)

    @property
    def row_end(self) -> tuple[int, ...]:
        """The token that ends a row."""
        return self._row_end

    def check_grid(self, grid: Grid) -> None:
        """See `check_length`."""
        self.check_length(grid)

    def opening(self, grid: Grid) -> str:
        """What begins an image of this grid."""
        return f"<|image start|>{grid.rows}*{grid.columns}"
