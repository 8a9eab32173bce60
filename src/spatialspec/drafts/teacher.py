"""Teacher states: the target's pre-norm states of some images, in one pass, for any target.

State t outputs cell t of the image; grids that are drawn before it are read, and their states left out. With a dropped
caption, the states are those of the unconditional stream. The last dimension joins the states after the hidden layers
`layers`, in their order, and the pre-norm states last.
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
from spatialspec.targets.icons.target import IconsTarget

UNCONDITIONAL = 2.0  # any guidance but 1 makes the target run both streams


@torch.no_grad()
def states(
    target: Target,
    prompts: Sequence[str],
    codes: Int[Tensor, "B drawn"],
    dropped: Bool[Tensor, "B"],
    layers: Sequence[int] = (),
) -> Float[Tensor, "B cells joined"]:
    """States of images under their prompts, or under the empty prompt where `dropped`; see the top of this file."""
    if isinstance(target, IconsTarget):
        texts = [target.completed(prompt).text for prompt in prompts]
        words = ["" if drop else text for text, drop in zip(texts, dropped.tolist(), strict=True)]
        text, grid = target.prompts(words, truncate=True).to(target.device), target.grid
        return target.model.teacher_forced(text, codes.to(target.device).long(), grid.rows, grid.columns, layers)
    if not dropped.any():
        return _one_pass(target, prompts, codes, 1, layers)[0]
    both = _one_pass(target, prompts, codes, 2, layers)
    return torch.where(dropped.to(both.device)[:, None, None], both[1], both[0])


def streams(
    target: Target,
    prompts: Sequence[str],
    codes: Int[Tensor, "B drawn"],
    count: int | None = None,
    layers: Sequence[int] = (),
) -> Float[Tensor, "G B cells joined"]:
    """States in one stream or both, conditional first, by default as in the default sampling; see :func:`states`."""
    kinds = [torch.full((len(prompts),), bool(stream)) for stream in range(count or target.default.streams)]
    return torch.stack([states(target, prompts, codes, dropped, layers) for dropped in kinds])


def _one_pass(
    target: Target, prompts: Sequence[str], codes: Int[Tensor, "B drawn"], count: int, layers: Sequence[int] = ()
) -> Float[Tensor, "G B cells joined"]:
    """Score all cells but the last as one chain after the prompt; the states of that pass output cells 0, 1, 2, ..."""
    sampling = replace(target.default, guidance=1.0 if count == 1 else UNCONDITIONAL)
    session = target.session(list(prompts), [""] * len(prompts), sampling, target.grid)
    chains = [Proposal.chain(0, tokens[:-1]) for tokens in codes.tolist()]
    scored = session.score([State(target.layout(target.grid))] * len(chains), chains, layers)
    joined = [torch.cat([*(scores.layers[layer] for layer in layers), scores.hidden], dim=-1) for scores in scored]
    # a copy: tensors made in inference mode cannot be saved for a backward pass
    return torch.stack(joined, dim=1)[:, :, -target.grid.cells :].clone()


def check_caption(target: Target, caption: str) -> None:
    """Refuse a caption that :func:`states` cannot use.

    Raises:
        BadInput: the target refuses it; `icons` truncates it instead.
    """
    if not isinstance(target, IconsTarget):
        target.check_prompts([caption], [""], target.grid)


def shard(target: Target, device: torch.device) -> None:
    """Split the layers of a frozen target over all processes (FSDP2) and move it to their devices.

    Each process holds its share of every matrix. The layers are the list of modules with the most parameters in the
    transformer. The rest is not split, as drafters use embeddings, norm and output layer directly. Layers are moved
    one by one: a device holds its share, one layer, and the rest. Afterwards all processes must run the target
    together, as none has a whole layer.

    Args:
        target: to be split.
        device: of this process.

    Raises:
        BadInput: the target has no list of modules, or there is one process only.
    """
    if not (torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        raise BadInput("one process", "several to split the target over", "start with torchrun")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # takes a second to import

    parts = () if target.transformer is None else target.transformer.modules()
    lists = [part for part in parts if isinstance(part, nn.ModuleList)]
    if not lists:
        raise BadInput(f"target {target.name} without a list of layers", "one to split over processes")
    layers = max(lists, key=lambda modules: sum(p.numel() for p in modules.parameters()))
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for layer in layers:
        sharded = fully_shard(layer, mesh=mesh, reshard_after_forward=True)  # moves the layer first
        sharded.unshard()  # allocates the buffers here: those of inference mode could not be filled outside of it
        sharded.reshard()
    move(target, device, set(layers.modules()))


def move(target: Target, device: torch.device, excluded: Collection[nn.Module] = ()) -> None:
    """Move a target's weights, buffers and tables to a device, except those of some modules."""
    for module in {module for network in target.networks for module in network.modules()}.difference(excluded):
        for weight in module.parameters(recurse=False):
            weight.data = weight.data.to(device)
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to(device))
    for name, table in vars(target).items():
        if isinstance(table, Tensor):
            setattr(target, name, table.to(device))
