"""What drafts learn from: the target's pre-norm states of given pictures, in one pass, whatever the target.

State t outputs cell t. A caption that was dropped stands for the target's own unconditional stream. Who asks for the
states after earlier blocks, too, gets them joined: those of `blocks` in their order, the pre-norm ones last.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.interfaces import Target
from spatialspec.core.proposal import Proposal
from spatialspec.core.state import State
from spatialspec.identity import modules, networks
from spatialspec.targets.icons.target import IconsTarget

UNCONDITIONAL = 2.0  # any guidance but 1 makes the target run both streams


@torch.no_grad()
def states(
    target: Target,
    prompts: Sequence[str],
    codes: Int[Tensor, "B cells"],
    dropped: Bool[Tensor, "B"],
    blocks: Sequence[int] = (),
) -> Float[Tensor, "B cells joined"]:
    """States of pictures of the target's own grid, under their prompt or, where that was dropped, under none.

    Args:
        target: the frozen target.
        prompts: one per picture.
        codes: tokens of the pictures.
        dropped: whose prompt is left out.
        blocks: of the target, counted from 1, whose states are wanted in front of the last ones.
    """
    if isinstance(target, IconsTarget):
        words = ["" if gone else prompt for prompt, gone in zip(prompts, dropped.tolist(), strict=True)]
        return _teacher_forced(target, words, codes, blocks)
    if not dropped.any():
        return _one_pass(target, prompts, codes, 1, blocks)[0]
    found = _one_pass(target, prompts, codes, 2, blocks)
    return torch.where(dropped.to(found.device)[:, None, None], found[1], found[0])


@torch.no_grad()
def streams(
    target: Target, prompts: Sequence[str], codes: Int[Tensor, "B cells"], batch: int = 8, blocks: Sequence[int] = ()
) -> Float[Tensor, "G B cells joined"]:
    """States in every stream that the target's default sampling runs, conditional first; see :func:`states`."""
    parts = []
    for start in range(0, len(prompts), batch):
        words, cells = prompts[start : start + batch], codes[start : start + batch]
        kinds = [torch.full((len(words),), bool(stream)) for stream in range(target.default.streams)]
        parts.append(torch.stack([states(target, words, cells, gone, blocks) for gone in kinds]))
    return torch.cat(parts, dim=1)


def _teacher_forced(
    target: IconsTarget, words: Sequence[str], codes: Int[Tensor, "B cells"], blocks: Sequence[int]
) -> Float[Tensor, "B cells joined"]:
    text = target.prompts(list(words), truncate=True).to(target.device)
    tokens, grid = codes.to(target.device).long(), target.grid
    return target.model.teacher_forced(text, tokens, grid.rows, grid.columns, blocks)


def _one_pass(
    target: Target, prompts: Sequence[str], codes: Int[Tensor, "B cells"], count: int, blocks: Sequence[int] = ()
) -> Float[Tensor, "G B cells joined"]:
    """All cells but the last as one chain behind the prompt: the rows of that pass output cells 0, 1, 2, ..."""
    sampling = replace(target.default, guidance=1.0 if count == 1 else UNCONDITIONAL)
    session = target.session(list(prompts), [""] * len(prompts), sampling, target.grid)
    chains = [Proposal.chain(0, row[:-1]) for row in codes.tolist()]
    scored = session.score([State(target.grid)] * len(chains), chains, blocks)
    joined = [torch.cat([*(scores.layers[block] for block in blocks), scores.hidden], dim=-1) for scores in scored]
    # a copy: what an inference mode has made cannot be saved for a backward pass
    return torch.stack(joined, dim=1).clone()


def check_caption(target: Target, caption: str) -> None:
    """Refuse a caption whose states :func:`states` cannot give.

    Raises:
        BadInput: the target does not take it; `icons` is given the part that fits.
    """
    if not isinstance(target, IconsTarget):
        target.check_prompts([caption], [""], target.grid)


def shard(target: Target, device: torch.device) -> None:
    """Split the blocks of a frozen target over all processes (FSDP2) and move it to their devices.

    Each process holds its share of every matrix. The blocks are the list of modules with the most parameters, of the
    decoder where a target has one; all else stays whole, as drafters use embeddings, norm and output layer directly. A
    block is moved when its turn comes, so that of a target that was loaded on the CPU no device holds more than its
    share, one block and what is not split. From then on all processes must run the target together: none has a whole
    block.

    Args:
        target: to be split.
        device: of this process.

    Raises:
        BadInput: the target has no list of modules, or there is one process only.
    """
    if not (torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        raise BadInput("one process", "several to split the target over", "start with torchrun")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # a second to import, for few

    within = modules(getattr(target, "decoder", target))
    lists = [m for part in within for m in part.modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise BadInput(f"target {target.name} without a list of blocks", "one to split over processes")
    blocks = max(lists, key=lambda found: sum(p.numel() for p in found.parameters()))
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for block in blocks:
        sharded = fully_shard(block, mesh=mesh, reshard_after_forward=True)  # moves the block first
        sharded.unshard()  # buffers that inference mode had made first could not be filled outside of it
        sharded.reshard()
    move(target, device, set(blocks.modules()))


def move(target: Target, device: torch.device, but: Collection[nn.Module] = ()) -> None:
    """Move a target's weights, buffers and tables to a device, but for those of some modules."""
    for module in {module for network in networks(target) for module in network.modules()}.difference(but):
        for weight in module.parameters(recurse=False):
            weight.data = weight.data.to(device)
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device))
    for name, table in vars(target).items():
        if isinstance(table, Tensor):
            setattr(target, name, table.to(device))
