"""A small table of what a model knows."""

from spatialspec.targets.icons.concepts import Concept

KNOWN = {
    "red apple": Concept(("3d", "flat"), words=("fruit",)),
    "flat shoe": Concept(("3d", "flat", "noto"), ("ballet slipper",)),
    "cherries": Concept(("noto",), words=("fruit", "cherry")),
    "dog face": Concept(("flat", "noto"), ("pooch",), ("pet",)),
    "toilet": Concept(("clip art",)),
}
