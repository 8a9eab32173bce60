"""What a pipeline is made of: a target and its drafts; loading, moving and saving them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import torch

from spatialspec import arguments, devices
from spatialspec.core.context import Unfit
from spatialspec.core.errors import BadInput, printable, shown
from spatialspec.core.interfaces import Target
from spatialspec.drafts import weights as draft_weights
from spatialspec.io.hub import HubAccess
from spatialspec.io.outputs import check_folder, writing_folder
from spatialspec.methods.draft_model import DraftTarget
from spatialspec.methods.network import DraftNetwork
from spatialspec.models import draft_folder, model_folder
from spatialspec.targets.loading import load_target, options_of_transformers, wrap
from spatialspec.targets.placing import move
from spatialspec.targets.runners import Runs, runner


class PipelineComponents:
    """A target with its drafts.

    Args:
        target: frozen AR model; `spatialspec.wrap` makes one of a model of transformers.
        draft: draft weights made for it, or their folder; `spatial`, the default method, needs none.
        engine: how passes are run: "auto", "eager", "captured" or "compiled".
        draft_model: a smaller target with the same image tokens, or its name; the method `sibling` drafts with it.

    Raises:
        BadInput: an engine that the target's device cannot run; drafts that were made for another target, or are
            damaged; a draft model with other image tokens.
    """

    def __init__(
        self,
        target: Target,
        draft: Sequence[DraftNetwork | Unfit] | str | Path = (),
        engine: str = "auto",
        draft_model: Target | str | Path | None = None,
    ) -> None:
        if isinstance(draft_model, str | Path):
            draft_model = load_target(model_folder(str(draft_model)), str(target.device), target.dtype)
        with arguments.reading():
            for one in (target, draft_model or target):
                if isinstance(one, type) or not (hasattr(one, "session") and hasattr(one, "pixels")):
                    raise BadInput(f"a {type(one).__name__} for a target", "one", "use from_pretrained, or wrap(...)")
            self._sibling = None if draft_model is None else DraftTarget(draft_model, target)
        self.target = target
        self._run_on(engine)
        if not isinstance(draft, list | tuple):
            draft = draft_weights.load_all(arguments.path("draft", draft), target)
        for part in draft:
            if not isinstance(part, DraftNetwork | Unfit):
                raise BadInput(f"a {type(part).__name__} for draft weights", "those of a draft, or their folder")
        self.drafts = [drafts for drafts in draft if not isinstance(drafts, Unfit)]
        self.unfit = [drafts for drafts in draft if isinstance(drafts, Unfit)]

    def __repr__(self) -> str:
        kinds = ", ".join(printable(type(part).__name__) for part in self.drafts) or "none"
        device = f"{self.device}, {str(self.dtype).removeprefix('torch.')}"
        name = f"{type(self.target).__name__} {printable(self.target.name)}"
        small = "" if self.draft_model is None else f", draft model: {printable(self.draft_model.name)}"
        return f"{type(self).__name__}({name}, {device}, drafts: {kinds}{small})"

    @classmethod
    def wrap(cls, model: Any, processor: Any, draft: Any = (), engine: str = "auto", draft_model: Any = None) -> Self:
        """Wrap a loaded model of transformers and, as `draft_model`, another for the same processor."""
        if hasattr(draft_model, "config") and not hasattr(draft_model, "session"):
            draft_model = wrap(draft_model, processor)
        return cls(wrap(model, processor), draft, engine, draft_model)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "icons",
        draft: str | Path | None = None,
        device: str | torch.device | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | Mapping[str, int | str | torch.device] | None = None,
        dtype: torch.dtype | str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        quantization_config: Any = None,
        engine: str = "auto",
        draft_model: str | Path | Target | None = None,
        **further: Any,
    ) -> Self:
        """Load a model that ships with the package, a folder, or a model of the Hub.

        Of the Hub only the files that are read here are fetched, with a progress bar, into the cache of its client.

        Args:
            model: name, path, or OWNER/NAME on the Hub; `spatialspec models` lists names and supported checkpoints.
            draft: likewise of draft weights; by default those in the model's folder.
            device: of PyTorch; None is cuda or mps where there is one, else the CPU.
            torch_dtype: of the weights, or its name: fp32, bf16, fp16 (torch's names too) or auto, as None, which is
                fp32 on the CPU and bf16 elsewhere. The image decoder of `icons` is always in fp32.
            device_map: a device, instead of `device`; for models of transformers also as there. Offloading is refused.
            dtype: another name of `torch_dtype`.
            revision: branch, tag or commit of the model on the Hub; also OWNER/NAME@REVISION.
            cache_dir: folder of the cache; None is the usual one.
            token: of the Hub; None is the stored one.
            local_files_only: True reads only the cache, as HF_HUB_OFFLINE=1 does.
            quantization_config: of transformers; for its models only, see the page on models.
            engine: how passes are run: "auto" (captured on a CUDA device, else eager), "eager", "captured", "compiled".
            draft_model: see the constructor; a name, folder or OWNER/NAME is loaded as the model is.
            further: `attn_implementation` and `max_memory`, for transformers; `use_safetensors`, `low_cpu_mem_usage`,
                `trust_remote_code` and `variant` are accepted where they change nothing.

        Raises:
            BadInput: unknown name, damaged files, drafts made for another target, an unsupported dtype, a device that
                this machine lacks, or no way to the Hub.
        """
        with arguments.reading():
            name = str(arguments.path("model", model))
            drafts = None if draft is None else str(arguments.path("draft", draft))
            placement = devices.placement(device, dtype, torch_dtype, device_map)
            options = options_of_transformers({**further, "quantization_config": quantization_config})
            access = _access(revision, cache_dir, token, local_files_only)
        folder = model_folder(name, access)
        others = _access(None, cache_dir, token, local_files_only)  # a revision of the model is not one of theirs
        beside = draft_folder(name, drafts, access, others)
        small = model_folder(str(draft_model), others) if isinstance(draft_model, str | Path) else None
        target = load_target(folder, *placement, options)
        if small is not None:
            draft_model = load_target(small, *placement, options)
        if draft is None:  # drafts in the model's folder need not fit as long as no method needs them
            folders = [] if beside is None else draft_weights.draft_folders(beside)
            return cls(target, [draft_weights.load_beside(path, target) for path in folders], engine, draft_model)
        return cls(target, beside or (), engine, draft_model)

    def _run_on(self, engine: str) -> None:
        """Choose how passes are run; a target that is no network of ours runs them as it does."""
        for target in self.targets:
            networks = [network for network in target.networks if isinstance(network, torch.nn.Module)]
            with arguments.reading():
                how = runner(engine, {weight.device for network in networks for weight in network.parameters()})
                if not isinstance(target, Runs) and engine not in ("auto", "eager"):
                    raise BadInput(f"engine {engine} for a {type(target).__name__}", "auto", "it runs its own passes")
            if isinstance(target, Runs) and (engine != "auto" or how.name != "eager"):
                target.runner = how
        self._engine = engine

    @property
    def device(self) -> torch.device:
        """Device of the target's embedding, where drafters and verifiers run."""
        return self.target.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the target's weights."""
        return self.target.dtype

    @property
    def components(self) -> dict[str, Any]:
        """The arguments of the constructor: `SpatialPipeline(**pipe.components)` shares all weights."""
        return {"target": self.target, "draft": [*self.drafts, *self.unfit], "draft_model": self.draft_model}

    @property
    def draft_model(self) -> Target | None:
        """The target that the method `sibling` drafts with."""
        return None if self._sibling is None else self._sibling.target

    @property
    def parts(self) -> list[DraftNetwork | Unfit | DraftTarget]:
        """Everything that drafters are made of: draft weights, those that do not fit too, and the draft model."""
        return [*self.drafts, *self.unfit, *([] if self._sibling is None else [self._sibling])]

    @property
    def targets(self) -> list[Target]:
        """The target, and the draft model if there is one."""
        return [self.target, *([] if self.draft_model is None else [self.draft_model])]

    def to(self, *places: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move the weights, and convert those of transformer and drafts; the same object is returned.

        Args:
            places: a device, a dtype or both, as in diffusers.
            device: of PyTorch.
            dtype: a dtype, or its name.

        Raises:
            BadInput: a device that this machine lacks or that has too little memory left, an unsupported dtype, or a
                model that is split over devices or quantised.
        """
        with arguments.reading():
            for place in places:
                if isinstance(place, torch.dtype) or str(place) in devices.DTYPES:
                    dtype = place
                else:
                    device = place
            where = self.device if device is None else devices.device(device)
            kind = self.dtype if dtype is None else devices.dtype(dtype, where)
        move(
            [[part for part in one.networks if isinstance(part, torch.nn.Module)] for one in self.targets], where, kind
        )
        for part in self.drafts:
            part.to(where, kind)
        self._run_on(self._engine)
        return self

    def enable_model_cpu_offload(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse what diffusers offers: every pass reads all weights, so offloaded ones would cross the bus each time.

        Raises:
            BadInput: always.
        """
        advice = "load it with device_map over several devices, a quantization_config, or in bf16"
        raise BadInput("offloading", "all weights on devices", advice)

    enable_sequential_cpu_offload = enable_group_offload = enable_model_cpu_offload

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write target and drafts into a new folder, which `from_pretrained` takes, whole or not at all.

        Raises:
            BadInput: the folder exists, or the target cannot be saved.
            OSError: it could not be written; nothing is left.
        """
        with arguments.reading():
            out = arguments.path("save_directory", save_directory)
            save = getattr(self.target, "save", None)
            if save is None:
                raise BadInput(f"a {type(self.target).__name__}", "a target that can be saved", "keep its folder")
            check_folder(out, "save_directory", new=True)
        with writing_folder(out) as partial:
            save(partial)
            for part in self.drafts:
                kind = draft_weights.DraftModel(part, self.target.name, self.target.fingerprint)
                kind.write(partial / "drafts" / kind.algorithm)


def _access(revision: object, cache_dir: object, token: object, local_files_only: object) -> HubAccess:
    """Read how the Hub is reached."""
    for name, value in (("revision", revision), ("token", token)):
        if value is not None and not (isinstance(value, str) and value) and not (name == "token" and value in (0, 1)):
            raise BadInput(f"{name} {'of another type' if name == 'token' else shown(value)}", "a text, or None")
    folder = None if cache_dir is None else str(arguments.path("cache_dir", cache_dir))
    only = arguments.flag("local_files_only", local_files_only)
    return HubAccess(revision, folder, token, only)  # type: ignore[arg-type]
