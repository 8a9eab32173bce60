"""Spatial draft models whose random weights are large enough that every input matters."""

from __future__ import annotations

import torch

from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialNetwork


def grown(config: SpatialModelConfig) -> SpatialNetwork:
    """A network with random weights."""
    torch.manual_seed(3)
    network = SpatialNetwork(config).eval().requires_grad_(False)
    for layer in network.layers:
        torch.nn.init.normal_(layer.out.weight, std=0.3)
        torch.nn.init.normal_(layer.down.weight, std=0.3)
    return network
