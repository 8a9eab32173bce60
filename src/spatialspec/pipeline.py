"""`SpatialPipeline`: words in, pictures out, in the conventions of diffusers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PILImage

from spatialspec import arguments
from spatialspec.core.context import Unfit
from spatialspec.core.errors import BadInput, printable, shown
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.drafts import weights as draft_weights
from spatialspec.generation import Report, Request, generate, traced
from spatialspec.methods.method import RULES, Method
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
        with arguments.reading():
            if isinstance(target, type) or not (hasattr(target, "session") and hasattr(target, "pixels")):
                advice = "use from_pretrained, or wrap(model, processor)"
                raise BadInput(f"a {type(target).__name__} for a target", "one", advice)
        self.target = target
        if not isinstance(draft, list | tuple):
            draft = draft_weights.load_all(arguments.path("draft", draft), target)
        for part in draft:
            if not isinstance(part, draft_weights.Drafts | Unfit):
                raise BadInput(f"a {type(part).__name__} for draft weights", "those of a draft, or their folder")
        self.drafts = [drafts for drafts in draft if not isinstance(drafts, Unfit)]
        self.unfit = [drafts for drafts in draft if isinstance(drafts, Unfit)]

    def __repr__(self) -> str:
        kinds = ", ".join(printable(type(part).__name__) for part in self.drafts) or "none"
        where = f"{self.target.device}, {str(self.target.dtype).removeprefix('torch.')}"
        return f"SpatialPipeline({type(self.target).__name__} {printable(self.target.name)}, {where}, drafts: {kinds})"

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "icons",
        draft: str | Path | None = None,
        device: str | torch.device | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | Mapping[str, int | str | torch.device] | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> SpatialPipeline:
        """Load a model that ships with the package, or a folder. Nothing is downloaded.

        Args:
            model: name or path; `spatialspec models` lists names, and the kinds of checkpoint that are understood.
            draft: name or path of draft weights; by default those that lie beside the model.
            device: of PyTorch; None is the CPU.
            torch_dtype: of the weights, or its name: fp32, bf16, fp16 (torch's names too) or auto, which is fp32 on the
                CPU and bf16 elsewhere; None is fp32. The picture decoder of `icons` stays in fp32.
            device_map: as in transformers, instead of `device`; for its models only.
            dtype: another name of `torch_dtype`.

        Raises:
            BadInput: unknown name, damaged files, drafts made for another target, a type that weights cannot have, or a
                device that this machine lacks.
        """
        with arguments.reading():
            name = str(arguments.path("model", model))
            folder = model_folder(name)
            drafts = draft_folder(name, None if draft is None else str(arguments.path("draft", draft)))
            where = arguments.device(device)
            if dtype is not None and torch_dtype is not None and dtype != torch_dtype:
                raise BadInput(f"dtype {shown(dtype)} and torch_dtype {shown(torch_dtype)}", "one of them")
            kind = arguments.dtype(torch_dtype if dtype is None else dtype, where)
            spread = arguments.device_map(device_map)
        target = load_target(folder, str(where), kind, spread)
        if draft is None:  # those that lie there need not fit, as long as no method asks for them
            beside = [] if drafts is None else draft_weights.draft_folders(drafts)
            return cls(target, [draft_weights.load_beside(path, target) for path in beside])
        return cls(target, drafts or ())

    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        method: str | Method = "spatial",
        seed: int | Sequence[int] | None = 0,
        negative_prompt: str | Sequence[str | None] | None = None,
        num_images_per_prompt: int | None = 1,
        guidance_scale: float | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        size: str | Grid | tuple[int, int] | None = None,
        verifier: str = "coupled",
        callback_on_step_end: Callback | None = None,
        written: Sequence[Sequence[int]] | None = None,
    ) -> Output:
        """Draw pictures.

        Args:
            prompt: what to draw, or a list; at most 10,000 characters each.
            method: `name[:key=value...]`; `spatialspec models` lists names.
            seed: of the first image, 0 to 2^63 - 1, and image i of the call has seed + i, modulo 2^63; or a list, one
                for each image. None is 0.
            negative_prompt: of the unconditional stream, for all prompts, or a list, one for each; None or "" for the
                model's own unconditional input. It has no effect where guidance is 1, and a warning says so.
            num_images_per_prompt: pictures for each prompt, 1 to 1024.
            guidance_scale: see :class:`Sampling`; None takes the model's default, here and in the next three.
            temperature: see :class:`Sampling`.
            top_k: see :class:`Sampling`.
            top_p: see :class:`Sampling`.
            size: ROWSxCOLUMNS in tokens, or (rows, columns); None is the model's own grid.
            verifier: "coupled" (same tokens as AR) or "rejection" (same law).
            callback_on_step_end: called as `callback(pipeline, passes, step)` after every pass of every image. It may
                raise to cancel; the pipeline stays usable. `step.after.tokens` are committed and do not change.
            written: for each image the tokens of its first cells (`step.after.tokens` of an earlier call with the same
                arguments), to go on from: to the same picture under a seed-exact method, else to one of the method's
                law. Cells that `zipar` and `pjd` wrote ahead of them are drawn again. Finished images are given back
                as they are, and the report is of the others.

        Returns:
            Pictures, tokens and report.

        Raises:
            BadInput: a bad argument, before anything is computed; or scores that are not finite, in the pass that met
                them.
        """
        given: dict[str, Any] = {"guidance": guidance_scale, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        default = self.target.default
        with arguments.reading():
            chosen = method if isinstance(method, Method) else Method.parse(method)
            sampling = replace(default, **{k: v for k, v in given.items() if v is not None})
            grid, images = self.grid(size), arguments.images("num_images_per_prompt", num_images_per_prompt)
            prompts = [text for text in arguments.prompts(prompt) for _ in range(images)]
            negatives = arguments.negatives(negative_prompt, len(prompts) // images)
            seeds = arguments.seeds(seed, len(prompts))
            begun = arguments.written(written, len(prompts), self.target.layout(grid).cells, self.target.vocabulary)
            if not isinstance(verifier, str) or verifier not in RULES:
                raise BadInput(f"verifier {shown(verifier)}", f"one of {', '.join(RULES)}")
            if callback_on_step_end is not None and not callable(callback_on_step_end):
                raise BadInput(f"callback_on_step_end {shown(callback_on_step_end)}", "a function, or None")
        if any(negatives) and sampling.streams == 1:
            warnings.warn("negative_prompt has no effect with guidance_scale 1", stacklevel=2)

        def notify(step: Step) -> None:
            if callback_on_step_end is not None:
                callback_on_step_end(self, step.after.passes, step)

        repeated = [text for text in negatives for _ in range(images)]
        request = Request(prompts, seeds, sampling, grid, verifier, repeated, begun)
        tokens, report = generate(self.target, [*self.drafts, *self.unfit], chosen, request, notify)
        with traced(self.target):
            return Output([self.target.pixels(t[-grid.cells :], grid) for t in tokens], tokens, report)

    def preview(self, state: State) -> PILImage.Image | None:
        """The finished rows of an image on its way, None before the first; its lower edge may still change a little.

        A model that draws a small grid before the image shows that one until the first row of the image is finished.
        """
        if state.finished is None:
            return None
        grid, tokens = state.finished
        with traced(self.target):
            return self.target.pixels(tokens, grid)

    def grid(self, size: str | Grid | tuple[int, int] | None) -> Grid:
        """The grid that was asked for, or the model's own.

        Raises:
            BadInput: the model cannot draw it.
        """
        if size is None:
            return self.target.grid
        grid = Grid.read(size)
        self.target.check_grid(grid)
        return grid
