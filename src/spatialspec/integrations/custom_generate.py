"""`model.generate(..., custom_generate=spatialspec.transformers_generate, processor=processor)` of transformers.

For models whose image tokens are ids of their vocabulary: Emu3, Chameleon and Anole. The same prompt ids go in and the
same sequence comes out, with row ends and closing tokens, in fewer passes. Janus' image mode takes no `custom_generate`
in transformers: wrap it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import UnbatchedClassifierFreeGuidanceLogitsProcessor

from spatialspec import arguments
from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.sampling import Sampling
from spatialspec.generation import generate
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.targets.loading import wrap

CLOSING = ("eof_token_id", "eoi_token_id", "eos_token_id")  # of a tokenizer of Emu3, behind an image


def transformers_generate(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    generation_config: Any = None,
    processor: Any = None,
    image_sizes: Any = None,
    method: str | Method = "spatial",
    seed: int | None = None,
    **inputs: Any,
) -> Tensor:
    """Draw one image behind each prompt; called by `generate`, which passes on its own arguments.

    Args:
        model: of transformers, with its processor.
        input_ids: (B, L) prompts up to the token that opens an image, padded on the left.
        logits_processor: only `negative_prompt_ids` of the call are taken from it. Guidance, temperature, top-k, top-p
            and min-p of `generation_config` are followed, and the layout of an image is forced.
        stopping_criteria: not used: an image has a fixed length.
        generation_config: of the call; without `do_sample` it is greedy.
        processor: of the model.
        image_sizes: (rows, columns) of the image in tokens, or one for each prompt, all alike, as the processor of Emu3
            returns them; None is the model's default.
        method: as in `SpatialPipeline.__call__`.
        seed: of the first image; None draws one from PyTorch's generator.
        inputs: what else `generate` passes on, of which the attention mask is read: 0 for padding.

    Returns:
        (B, L + n): prompts, image tokens and row ends, and for Emu3 the three tokens that close an image.

    Raises:
        BadInput: another kind of model, no processor, guidance without `negative_prompt_ids`, or a bad argument.
    """
    if processor is None:
        raise BadInput("no processor", "processor=..., that of the model", "give it to generate")
    target: Any = wrap(model, processor)
    if not hasattr(target, "take_ids"):  # of ImageVocabulary
        raise BadInput(f"a {type(model).__name__}", "a model whose image tokens are ids of its text", "use wrap")
    sampling, count = _sampling(generation_config), len(input_ids)
    prompts = _rows(input_ids, inputs.get("attention_mask"))
    negatives = _unconditional(logits_processor) * count if sampling.streams == 2 else []
    if sampling.streams == 2 and not negatives:
        raise BadInput(f"guidance {sampling.guidance:g}", "negative_prompt_ids beside it", "or guidance_scale=1")
    given = [ids for i in range(count) for ids in (prompts[i], *negatives[i : i + 1])]
    target.prompt_ids = lambda texts, _, streams, grid: given[: len(texts) * streams]  # ids instead of words
    grid = target.grid if image_sizes is None else _grid(image_sizes)
    seeds, chosen = arguments.seeds(seed, None, count), Method.parse(method) if isinstance(method, str) else method
    with torch.autocast(model.device.type, enabled=False):
        tokens, _ = generate(target, (), chosen, Request(["ids"] * count, seeds, sampling, grid))

    ends, tokenizer = list(target.row_end), getattr(processor, "tokenizer", None)
    closing = [getattr(tokenizer, name) for name in CLOSING] if ends and hasattr(tokenizer, CLOSING[0]) else []
    ids = target.ids[torch.tensor(tokens, device=target.ids.device)].view(count, grid.rows, grid.columns)
    rows = torch.cat([ids, ids.new_tensor(ends).expand(count, grid.rows, -1)], -1).flatten(1)
    image = torch.cat([rows, ids.new_tensor(closing).expand(count, -1)], -1)
    return torch.cat([input_ids, image.to(input_ids)], -1)


def _sampling(config: Any) -> Sampling:
    """Sampling of a generation config, as transformers understands it."""
    guidance = float(getattr(config, "guidance_scale", None) or 1.0)
    if not getattr(config, "do_sample", False):
        return Sampling(guidance=guidance, temperature=0.0)
    names = ("temperature", "top_k", "top_p", "min_p")
    values = {name: getattr(config, name, None) for name in names}
    return Sampling(guidance=guidance, **{name: value for name, value in values.items() if value is not None})


def _unconditional(processors: Any) -> list[list[int]]:
    """Ids of the unconditional prompts that the call gave, which `generate` hands to its guidance alone."""
    for one in processors or ():
        if isinstance(one, UnbatchedClassifierFreeGuidanceLogitsProcessor):
            context: dict[str, Any] = one.unconditional_context
            ids, mask = context.get("input_ids"), context.get("attention_mask")
            return [] if ids is None else _rows(ids, mask)
    return []


def _rows(ids: Tensor, mask: Tensor | None) -> list[list[int]]:
    """Ids of every sequence, without padding."""
    kept = torch.ones_like(ids) if mask is None else mask
    return [row[keep.bool()].tolist() for row, keep in zip(ids, kept, strict=True)]


def _grid(sizes: Any) -> Grid:
    pairs = {tuple(map(int, pair)) for pair in torch.as_tensor(sizes).view(-1, 2).tolist()}
    if len(pairs) != 1:
        raise BadInput(f"{len(pairs)} sizes of images", "one", "call generate once for each")
    return Grid(*pairs.pop())
