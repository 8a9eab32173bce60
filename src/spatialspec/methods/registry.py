"""The table of decoding methods.

A new method is one file, and one line here if it is to ship with the package. Methods, and with them torch, are
imported at the first look-up.
"""

from __future__ import annotations

from functools import cache

from spatialspec.core.errors import BadInput, shown
from spatialspec.methods.method import Method
from spatialspec.plugins import Registry


@cache
def shipped() -> tuple[Method, ...]:
    """The methods of the package."""
    from spatialspec.methods.ar import METHOD as ar
    from spatialspec.methods.csd import METHOD as csd
    from spatialspec.methods.eagle import METHOD as eagle
    from spatialspec.methods.gsd import METHOD as gsd
    from spatialspec.methods.hawk import HAWK, HAWK_VERTICAL
    from spatialspec.methods.hydra import METHOD as hydra
    from spatialspec.methods.jacobi import METHOD as jacobi
    from spatialspec.methods.lantern import LANTERN, LANTERN_PLUS
    from spatialspec.methods.medusa import METHOD as medusa
    from spatialspec.methods.pjd import METHOD as pjd
    from spatialspec.methods.scd import METHOD as scd
    from spatialspec.methods.sibling import METHOD as sibling
    from spatialspec.methods.sjd import METHOD as sjd
    from spatialspec.methods.sjd_pac import METHOD as sjd_pac
    from spatialspec.methods.spatial.drafter import METHOD as spatial
    from spatialspec.methods.spatial_model.drafter import METHOD as spatial_model
    from spatialspec.methods.ssd import METHOD as ssd
    from spatialspec.methods.ssd_baselines import MTP_METHOD, STRICT_METHOD
    from spatialspec.methods.zipar import METHOD as zipar

    return (
        ar, medusa, HAWK_VERTICAL, HAWK, hydra, eagle, ssd, jacobi, sjd, scd, sjd_pac, gsd, csd, LANTERN, LANTERN_PLUS,
        spatial, spatial_model, sibling, MTP_METHOD, STRICT_METHOD, zipar, pjd,
    )  # fmt: skip


REGISTRY = Registry(Method, "spatialspec.methods", "docs/add-a-drafter.md", shipped)


def methods() -> dict[str, Method]:
    """All methods by name, with their defaults."""
    return REGISTRY.all()


def find(name: str) -> Method:
    """A method by name.

    Raises:
        BadInput: there is none; the message lists the names.
    """
    table = methods()
    if name not in table:
        raise BadInput(f"method {shown(name)}", f"one of {', '.join(table)}")
    return table[name]


def audited() -> list[str]:
    """Every method, each followed by its variants."""
    return [
        ":".join(filter(None, (name, options)))
        for name, method in methods().items()
        for options in ("", *method.variants)
    ]
