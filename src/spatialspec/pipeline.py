"""`SpatialPipeline`: words in, pictures out, in the conventions of diffusers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PILImage

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.core.noise import image_seed
from spatialspec.core.protocols import Target
from spatialspec.core.setting import Unfit
from spatialspec.core.state import State
from spatialspec.decode import Step
from spatialspec.drafters import weights as draft_weights
from spatialspec.generation import Report, Request, generate
from spatialspec.methods import Method
from spatialspec.models import draft_folder, model_folder
from spatialspec.targets.loading import load_target


@dataclass(frozen=True)
class Output:
    """Result of a call.

    Attributes:
        images: PIL pictures, prompt by prompt.
        tokens: raster-order tokens of each image.
        report: cost.
    """

    images: list[PILImage.Image]
    tokens: list[tuple[int, ...]]
    report: Report


Callback = Callable[["SpatialPipeline", int, Step], Any]


class SpatialPipeline:
    """A target with its drafts.

    Args:
        target: frozen AR model; `spatialspec.targets.loading.wrap` makes one of a model of transformers.
        draft: draft weights made for it, or their folder; `spatial`, the default method, needs none.

    Raises:
        BadInput: the drafts were made for another target, or a file of them is damaged.
    """

    def __init__(self, target: Target, draft: Sequence[draft_weights.Drafts | Unfit] | str | Path = ()) -> None:
        self.target = target
        found = draft_weights.load_all(Path(draft), target) if isinstance(draft, str | Path) else draft
        self.drafts = [drafts for drafts in found if not isinstance(drafts, Unfit)]
        self.unfit = [drafts for drafts in found if isinstance(drafts, Unfit)]

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "icons",
        draft: str | Path | None = None,
        device: str = "cpu",
        torch_dtype: torch.dtype = torch.float32,
        device_map: str | Mapping[str, int | str | torch.device] | None = None,
    ) -> SpatialPipeline:
        """Load a model that ships with the package, or a folder. Nothing is downloaded.

        Args:
            model: name or path; `spatialspec models` lists names, and the kinds of checkpoint that are understood.
            draft: name or path of draft weights; by default those that lie beside the model.
            device: of PyTorch.
            torch_dtype: of the weights; the picture decoder of `icons` stays in fp32.
            device_map: as in transformers, instead of `device`; for its models only.

        Raises:
            BadInput: unknown name, damaged files, or drafts made for another target.
        """
        target = load_target(model_folder(str(model)), device, torch_dtype, device_map)
        folder = draft_folder(str(model), None if draft is None else str(draft))
        if draft is None:  # those that lie there need not fit, as long as no method asks for them
            folders = [] if folder is None else draft_weights.draft_folders(folder)
            return cls(target, [draft_weights.load_beside(path, target) for path in folders])
        return cls(target, folder or ())

    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        method: str | Method = "spatial",
        seed: int = 0,
        negative_prompt: str = "",
        num_images_per_prompt: int = 1,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        size: str | Grid | None = None,
        verifier: str = "coupled",
        callback_on_step_end: Callback | None = None,
        written: Sequence[Sequence[int]] = (),
    ) -> Output:
        """Draw pictures.

        Args:
            prompt: what to draw, or a list.
            method: `name[:key=value...]`; `spatialspec models` lists names.
            seed: of the first image; image i of the call has seed + i.
            negative_prompt: of the unconditional stream.
            num_images_per_prompt: pictures for each prompt.
            guidance_scale: see :class:`Sampling`; None takes the model's default, here and in the next three.
            temperature: see :class:`Sampling`.
            top_k: see :class:`Sampling`.
            top_p: see :class:`Sampling`.
            size: ROWSxCOLUMNS in tokens; None is the model's own grid.
            verifier: "coupled" (same tokens as AR) or "rejection" (same law).
            callback_on_step_end: called as `callback(pipeline, passes, step)` after every pass of every image. It may
                raise to cancel; the pipeline stays usable. `step.state.tokens` are committed and do not change.
            written: for each image the tokens of its first cells (`step.state.tokens` of an earlier call with the same
                arguments), to go on from: to the same picture under a seed-exact method, else to one of the method's
                law. Cells that `zipar` and `pjd` wrote ahead of them are drawn again.

        Returns:
            Pictures, tokens and report.

        Raises:
            BadInput: a bad argument, before anything is computed.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise BadInput("an empty list of prompts", "at least one")
        if num_images_per_prompt < 1:
            raise BadInput(f"num_images_per_prompt {num_images_per_prompt}", "at least 1")
        prompts = [p for p in prompts for _ in range(num_images_per_prompt)]
        given: dict[str, Any] = {"guidance": guidance_scale, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        sampling = replace(self.target.default, **{k: v for k, v in given.items() if v is not None})
        chosen = Method.parse(method) if isinstance(method, str) else method
        grid = self.grid(size)

        def notify(step: Step) -> None:
            if callback_on_step_end is not None:
                callback_on_step_end(self, step.state.passes, step)

        seeds = [image_seed(seed, i) for i in range(len(prompts))]
        request = Request(prompts, seeds, sampling, grid, verifier, [negative_prompt] * len(prompts), written)
        tokens, report = generate(self.target, [*self.drafts, *self.unfit], chosen, request, notify)
        return Output([self.target.pixels(t, grid) for t in tokens], tokens, report)

    def preview(self, state: State) -> PILImage.Image | None:
        """The finished rows of an image on its way, None before the first; its lower edge may still change a little."""
        rows = state.frontier // state.grid.columns
        if not rows:
            return None
        finished = Grid(rows, state.grid.columns)
        return self.target.pixels(state.tokens[: finished.cells], finished)

    def grid(self, size: str | Grid | None) -> Grid:
        """The grid that was asked for, or the model's own.

        Raises:
            BadInput: the model cannot draw it.
        """
        if size is None:
            return self.target.grid
        grid = Grid.parse(size) if isinstance(size, str) else size
        self.target.check_grid(grid)
        return grid
