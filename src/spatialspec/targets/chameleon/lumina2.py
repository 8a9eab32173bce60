"""Lumina-mGPT 2.0 (arXiv 2507.17801): the transformer of Chameleon with another vocabulary and image tokenizer.

Sizes, row ends and the prompt are as in Lumina-mGPT; a patch of 32 pixels has 4 x 4 cells. Names of tokens are those of
the tokenizer; image token k is the id 155,000 + k, behind all of them. The checkpoint holds no image decoder: it draws
with MoVQGAN's 16,384 codes. All of it is as in the published code (Alpha-VLLM/Lumina-mGPT-2.0: inference_solver.py,
data/item_processor.py, generate_examples/generate.py, xllmx/model/tokenizer.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from transformers import ChameleonForConditionalGeneration, PreTrainedModel, PreTrainedTokenizerFast

from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.targets.chameleon import lumina
from spatialspec.targets.chameleon.files import FILE
from spatialspec.targets.chameleon.target import BEGIN_IMAGE, END_MESSAGE
from spatialspec.targets.model_files import check_side_files
from spatialspec.targets.movqgan import MoVQ, load_movq
from spatialspec.targets.pretrained import check_kinds, whole
from spatialspec.targets.registry import LUMINA2_IMAGES
from spatialspec.targets.words import Words


class Lumina2Target(lumina.LuminaTarget):
    """A Lumina-mGPT 2.0 with its tokenizer and MoVQGAN's image decoder.

    Args:
        model: loaded model, which is not changed.
        processor: its tokenizer, of transformers.
        name: shown in reports and errors.
        vq: its image decoder; by default that in the folder that the model was loaded from.

    Raises:
        BadInput: the image decoder is missing, or the tokenizer lacks a token.
    """

    authors: ClassVar[Sampling] = Sampling(guidance=4.0, top_k=4096)  # README of Alpha-VLLM/Lumina-mGPT-2.0
    patch_cells, encodes = 4, False

    def __init__(self, model: PreTrainedModel, processor: Any, name: str, vq: MoVQ | None = None) -> None:
        check_kinds(model, ChameleonForConditionalGeneration, processor, PreTrainedTokenizerFast)
        self.processor, self._names = processor, processor.get_vocab()
        named: Any = model
        self._begin_with(name, model, named.model, Words(processor, self._names))
        self.vq: MoVQ = load_movq(Path(str(model.config.name_or_path)) / FILE) if vq is None else vq
        first = processor.bos_token or processor.eos_token  # one of them begins a prompt in the published code
        self._bos, self._begin, self._end_message, row_end = (
            self.id_of(token) for token in (str(first), BEGIN_IMAGE, END_MESSAGE, lumina.ROW_END)
        )
        self._row_end = (row_end,)
        codes = len(self.vq.codebook)
        self.take_ids({code: LUMINA2_IMAGES + code for code in range(codes)}, codes)
        self._images = set(self.ids.tolist())
        side = lumina.USUAL // self.vq.patch
        self.grid = Grid(side, side)

    @classmethod
    def read_parts(cls, folder: Path) -> dict[str, Any]:
        """Load the image decoder, in fp32, and the tokenizer."""
        vq = load_movq(folder / FILE)
        check_side_files(folder)
        with whole("a tokenizer beside the weights", folder, "fetch the tokenizer's files too"):
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return {"vq": vq, "processor": tokenizer}
