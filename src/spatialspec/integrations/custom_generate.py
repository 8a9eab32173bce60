"""`model.generate(..., custom_generate=spatialspec.transformers_generate, processor=processor)` of transformers.

For models whose image tokens are ids of their vocabulary: Emu3, Chameleon and Anole, GLM-Image, Liquid, SimpleAR. The
same prompt ids go in and the same sequence comes out, with row ends and closing tokens, in fewer passes. Janus' image
mode takes no `custom_generate` in transformers: wrap it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from spatialspec.request import TokenRequest
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
    image_grid_thw: Any = None,
    pixel_values: Any = None,
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
        image_grid_thw: of every prompt the grids of image and preview, as the processor of GLM-Image returns them.
        pixel_values: refused: images to edit are not read.
        method: as in `SpatialPipeline.__call__`.
        seed: of the first image; None draws one from PyTorch's generator.
        inputs: what else `generate` passes on, of which the attention mask is read: 0 for padding.

    Returns:
        (B, L + n): prompts, image tokens and row ends, for Emu3 the three tokens that close an image and for GLM-Image
        the one.

    Raises:
        BadInput: another kind of model, no processor, guidance without `negative_prompt_ids`, or a bad argument.
    """
    if processor is None:
        raise BadInput("no processor", "processor=..., that of the model", "give it to generate")
    if pixel_values is not None:
        raise BadInput("an image to edit", "a prompt of words alone", "call generate without custom_generate")
    target: Any = wrap(model, processor)
    if not hasattr(target, "take_ids"):  # of ImageVocabulary
        raise BadInput(f"a {type(model).__name__}", "a model whose image tokens are ids of its text", "use wrap")
    sampling, negatives = sampling_of(generation_config), list[list[int]]()
    if sampling.streams == 2 and not (negatives := _unconditional(logits_processor)):
        raise BadInput(f"guidance {sampling.guidance:g}", "negative_prompt_ids beside it", "or guidance_scale=1")
    grid = grid_of(target, image_sizes, image_grid_thw)
    request = token_request(input_ids, inputs.get("attention_mask"), sampling, grid, seed, negatives)
    tokens, _ = generate(target, (), Method.parse(method) if isinstance(method, str) else method, request)
    return sequences(target, input_ids, tokens, grid)


def token_request(
    input_ids: Tensor,
    mask: Tensor | None,
    sampling: Sampling,
    grid: Grid,
    seed: int | None = None,
    negatives: Sequence[Sequence[int]] = (),
) -> TokenRequest:
    """A request for an image behind each prompt of a batch (B, L), with its unconditional prompt, or one for all."""
    second = [negatives[i % len(negatives)] for i in range(len(input_ids))] if negatives else []
    ids = [[prompt, *second[i : i + 1]] for i, prompt in enumerate(_rows(input_ids, mask))]
    return TokenRequest(["ids"] * len(ids), arguments.seeds(seed, None, len(ids)), sampling, grid, ids=ids)


def sequences(target: Any, input_ids: Tensor, tokens: Sequence[Sequence[int]], grid: Grid) -> Tensor:
    """Prompts (B, L) and what follows them, (B, L + n): image tokens, row ends, and what closes an image."""
    ends, tokenizer, count = list(target.row_end), target.words.tokenizer, len(tokens)
    closing = [getattr(tokenizer, name) for name in CLOSING] if ends and hasattr(tokenizer, CLOSING[0]) else []
    closing = [target.image_end] if hasattr(target, "image_end") else closing
    image = target.ids[torch.tensor(tokens, device=target.ids.device)]
    if ends:
        rows = image.view(count, grid.rows, grid.columns)
        image = torch.cat([rows, image.new_tensor(ends).expand(count, grid.rows, -1)], -1).flatten(1)
    return torch.cat([input_ids, image.to(input_ids), input_ids.new_tensor(closing).expand(count, -1)], -1)


def sampling_of(config: Any) -> Sampling:
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


def grid_of(target: Any, sizes: Any, grids: Any) -> Grid:
    """The size that all images of a call have.

    Args:
        target: of any family.
        sizes: (rows, columns) of every image or of one; None where there is none.
        grids: (2 B, 3), of every image its grid and that of its preview; None for a family without previews.

    Raises:
        BadInput: there are several sizes, or grids that the target does not draw.
    """
    if grids is not None:
        given: list[list[int]] = torch.as_tensor(grids).tolist()
        distinct = {target.grid_of(given[i : i + 2]) for i in range(0, len(given), 2)}
    elif sizes is not None:
        distinct = {Grid(*map(int, pair)) for pair in torch.as_tensor(sizes).view(-1, 2).tolist()}
    else:
        return Grid.read(target.grid)
    if len(distinct) != 1:
        raise BadInput(f"{len(distinct)} sizes of images", "one", "call generate once for each")
    return distinct.pop()
