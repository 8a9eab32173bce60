"""Where the weights of a model go, checked before any is read: device maps, and memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from spatialspec.core.errors import BadInput, shown
from spatialspec.targets import room
from spatialspec.targets.registry import DeviceMap


def check_cover(device_map: Mapping[str, object], parts: Collection[str], model: str) -> None:
    """Refuse a device map with a weight that has no device, or a name that is no part of the model.

    Args:
        device_map: names of modules, "" for all, to devices.
        parts: names of all parameters and buffers.
        model: its class, for messages.

    Raises:
        BadInput: there is one.
    """
    over = {name: {m for m in device_map if m in ("", name) or name.startswith(f"{m}.")} for name in parts}
    surplus = set(device_map).difference(*over.values(), {""})
    if lost := next((name for name, modules in over.items() if not modules), None):
        raise BadInput(f"device_map without a device for {lost}", f"one for every part of {model}", 'add "", the rest')
    if surplus:
        raise BadInput(f"device_map with {shown(min(surplus))}", f"modules of {model}", "leave it out")


def devices_of(device: str, device_map: DeviceMap | None = None) -> set[torch.device]:
    """The devices that may hold weights: by a map that accelerate computes, every accelerator, or else the CPU."""
    if device_map is None:
        return {torch.device(device)}
    if isinstance(device_map, Mapping):
        return {torch.device(place) for place in device_map.values()}
    kind = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if kind else 0
    return {torch.device(kind.type, i) for i in range(count)} if kind else {torch.device("cpu")}


def check_weights(
    numbers: int, dtype: torch.dtype, devices: Iterable[torch.device], where: Path | None = None, others: int = 0
) -> None:
    """Refuse weights that do not fit, before anything is allocated for them.

    Args:
        numbers: of the weights.
        dtype: that they are to have.
        devices: that are to hold them together.
        where: their folder.
        others: bytes of weights that keep their dtype.

    Raises:
        BadInput: the devices have less memory left; one that does not say what it has is taken to have enough.
    """
    free = {str(device): room.free_memory(device) for device in devices}
    known = [left for left in free.values() if left is not None]
    needed, total = numbers * dtype.itemsize + others, sum(known)
    if len(known) < len(free) or needed <= total:
        return
    advice = "free memory, or give a smaller model, more devices (device_map) or a quantization_config"
    if dtype.itemsize > 2 and (narrow := 2 * numbers + others) <= total:
        advice = f"give dtype bf16, which takes {narrow / 1e9:,.2f} GB"
    expected = f"at most {total / 1e9:,.2f} GB, free on {', '.join(sorted(free))}"
    raise BadInput(f"weights of {needed / 1e9:,.2f} GB", expected, advice, where or "")


def move(models: Sequence[Sequence[object]], where: torch.device, kind: torch.dtype) -> None:
    """Move the networks of models, those that are modules, and convert the first of each: its transformer.

    Raises:
        BadInput: a model that is split over devices or quantised, or too little memory left; nothing was moved then.
    """
    own = [[network for network in each if isinstance(network, nn.Module)] for each in models]
    networks = [network for each in own for network in each]
    for network in networks:
        split = len(set((getattr(network, "hf_device_map", None) or {}).values())) > 1
        if split or getattr(network, "is_quantized", False):
            got = "a model that is split over devices" if split else "a quantised model"
            raise BadInput(got, "one that can be moved", "load it again where and as it is wanted")
    there = torch.empty(0, device=where).device  # with its index
    weights = [weight for network in networks for weight in (*network.parameters(), *network.buffers())]
    check_weights(0, kind, [there], others=sum(weight.nbytes for weight in weights if weight.device != there))
    for network in networks:
        network.to(where)
    for first in (each[0] for each in own if each):
        for weight in first.state_dict(keep_vars=True).values():  # not rotations, in fp32
            if weight.is_floating_point():
                weight.data = weight.data.to(kind)
