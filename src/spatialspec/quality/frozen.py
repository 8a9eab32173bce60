"""Frozen networks that measure images: weights inside Python packages, and models in the layout of transformers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spatialspec.core.errors import BadInput
from spatialspec.targets.model_files import check_side_files, read_model_config


def package_folder(package: str, module: str) -> Path:
    """Folder of an installed package, which is not imported.

    Args:
        package: name to install it by.
        module: name to import it by.

    Raises:
        ImportError: it is not installed; the message contains the command that installs it.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {package} is not installed: run `pip install {package}`")
    return Path(spec.submodule_search_locations[0])


def load_pretrained(name: str | Path, model: Any, processor: Any, expected: str, local: bool) -> tuple[Any, Any]:
    """A frozen model of transformers and its processor, from safetensors alone; no code of the folder runs.

    Args:
        name: folder, or OWNER/NAME on the Hub.
        model: class with `from_pretrained`.
        processor: its processor's class.
        expected: for the message.
        local: `name` is a folder; nothing is fetched.

    Raises:
        BadInput: there is no such model, or it is damaged.
    """
    from spatialspec.targets.pretrained import quiet  # imports transformers

    if local:
        read_model_config(Path(name))
        check_side_files(Path(name))
    options = {"local_files_only": local, "trust_remote_code": False}
    try:
        with quiet():
            network = model.from_pretrained(name, use_safetensors=True, **options)
            return network.eval().requires_grad_(False), processor.from_pretrained(name, **options)
    except Exception as error:  # transformers raises errors of many types
        reason = str(error).strip().partition("\n")[0][:200]
        if local:
            raise BadInput(reason, expected, where=name) from error
        got = f"{name}, which is no folder here and did not come from the Hub ({reason})"
        advice = "check the name and the network, or give a folder that holds it"
        raise BadInput(got, expected, advice) from error
