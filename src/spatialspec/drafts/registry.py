"""The table of trained drafters: the network of each and its training task.

A new one is two files, that of its method and that of its task, and two lazy functions here if it is to ship with the
package. Both files, and with them torch, are imported at the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spatialspec.core.errors import BadInput
from spatialspec.plugins import Plugin, Registry

if TYPE_CHECKING:
    from spatialspec.drafts.eagle import EagleTask
    from spatialspec.drafts.guide import GuideTask
    from spatialspec.drafts.hawk import HawkTask
    from spatialspec.drafts.hydra import HydraTask
    from spatialspec.drafts.spatial_model import SpatialModelTask
    from spatialspec.drafts.ssd import SSDTask
    from spatialspec.drafts.task import DraftTask
    from spatialspec.methods.eagle import EagleNetwork
    from spatialspec.methods.hawk import HawkHeads
    from spatialspec.methods.hydra import HydraHeads
    from spatialspec.methods.network import DraftNetwork
    from spatialspec.methods.predictors import SSDPredictors
    from spatialspec.methods.spatial.trained_guide import GuideNetwork
    from spatialspec.methods.spatial_model.network import SpatialNetwork


@dataclass(frozen=True)
class DraftKind(Plugin):
    """A kind of draft weights, and how they are trained.

    Attributes:
        name: algorithm in stored weights, `Method.drafts` of the methods that need them, `--drafter` of the training.
        network: returns the class of the network.
        task: returns the class of the training task.
    """

    name: str
    network: Callable[[], type[DraftNetwork]]
    task: Callable[[], type[DraftTask]]

    @staticmethod
    def registry() -> Registry[DraftKind]:
        """The table of trained drafters."""
        return REGISTRY


def _hawk() -> type[HawkHeads]:
    from spatialspec.methods.hawk import HawkHeads

    return HawkHeads


def _hawk_task() -> type[HawkTask]:
    from spatialspec.drafts.hawk import HawkTask

    return HawkTask


def _hydra() -> type[HydraHeads]:
    from spatialspec.methods.hydra import HydraHeads

    return HydraHeads


def _hydra_task() -> type[HydraTask]:
    from spatialspec.drafts.hydra import HydraTask

    return HydraTask


def _eagle() -> type[EagleNetwork]:
    from spatialspec.methods.eagle import EagleNetwork

    return EagleNetwork


def _eagle_task() -> type[EagleTask]:
    from spatialspec.drafts.eagle import EagleTask

    return EagleTask


def _ssd() -> type[SSDPredictors]:
    from spatialspec.methods.predictors import SSDPredictors

    return SSDPredictors


def _ssd_task() -> type[SSDTask]:
    from spatialspec.drafts.ssd import SSDTask

    return SSDTask


def _spatial_model() -> type[SpatialNetwork]:
    from spatialspec.methods.spatial_model.network import SpatialNetwork

    return SpatialNetwork


def _spatial_model_task() -> type[SpatialModelTask]:
    from spatialspec.drafts.spatial_model import SpatialModelTask

    return SpatialModelTask


def _guide() -> type[GuideNetwork]:
    from spatialspec.methods.spatial.trained_guide import GuideNetwork

    return GuideNetwork


def _guide_task() -> type[GuideTask]:
    from spatialspec.drafts.guide import GuideTask

    return GuideTask


def shipped() -> tuple[DraftKind, ...]:
    """The trained drafters of the package."""
    return (
        DraftKind("hawk", _hawk, _hawk_task),
        DraftKind("ssd", _ssd, _ssd_task),
        DraftKind("spatial-model", _spatial_model, _spatial_model_task),
        DraftKind("hydra", _hydra, _hydra_task),
        DraftKind("eagle", _eagle, _eagle_task),
        DraftKind("guide", _guide, _guide_task),
    )


REGISTRY = Registry(DraftKind, "spatialspec.drafts", "docs/add-a-drafter.md", shipped)


def kinds() -> dict[str, DraftKind]:
    """All trained drafters by name."""
    return REGISTRY.all()


def kind_of(drafts: DraftNetwork) -> DraftKind:
    """The kind of some draft weights.

    Raises:
        BadInput: it is not registered.
    """
    for kind in kinds().values():
        if type(drafts) is kind.network():
            return kind
    raise BadInput(f"a {type(drafts).__name__}", f"drafts of one of {', '.join(kinds())}", "register its DraftKind")
