"""`SpatialPipeline`: images from prompts, in the conventions of diffusers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PILImage
from tqdm.auto import tqdm

from spatialspec import arguments
from spatialspec.budget import effort, tuned
from spatialspec.components import PipelineComponents
from spatialspec.core.context import Unfit
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.core.precision import unrounded
from spatialspec.core.state import State
from spatialspec.core.step import Step
from spatialspec.generation import generate, remarks, traced
from spatialspec.methods.method import RULES, Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.methods.presets import AUTO, dialled
from spatialspec.output import OUTPUT_TYPES, Output, images_of
from spatialspec.request import Request
from spatialspec.targets.images import MayLackPixels

Callback = Callable[["SpatialPipeline", int, int, dict[str, Any]], object]
CALLBACK_INPUTS = ("step", "tokens")


class SpatialPipeline(PipelineComponents):
    """A target with its drafts, called as the pipelines of diffusers are.

    Args:
        target: frozen AR model; `spatialspec.wrap` makes one of a model of transformers.
        draft: draft weights made for it, or their folder; `spatial`, the default method, needs none.
        draft_model: a smaller target with the same image tokens, or its folder; the method `sibling` drafts with it.

    Raises:
        BadInput: the drafts were made for another target, or a file of them is damaged; the draft model has other
            image tokens.
    """

    def __init__(
        self,
        target: Target,
        draft: Sequence[DraftNetwork | Unfit] | str | Path = (),
        engine: str = "auto",
        draft_model: Target | str | Path | None = None,
    ) -> None:
        super().__init__(target, draft, engine, draft_model)
        self._interrupt = False
        self._bar: dict[str, Any] = {}

    def __call__(
        self,
        prompt: str | Sequence[str],
        height: int | None = None,
        width: int | None = None,
        *,
        size: str | Grid | tuple[int, int] | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | Sequence[str | None] | None = None,
        num_images_per_prompt: int | None = 1,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        seed: int | Sequence[int] | None = None,
        method: str | Method = "spatial",
        quality: str | None = None,
        tolerance: float | None = None,
        budget: int | str | None = None,
        verifier: str = "coupled",
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] | None = CALLBACK_INPUTS,
        written: Sequence[Sequence[int]] | None = None,
    ) -> Output | Any:
        """Draw images. One that was interrupted is white below its last complete row.

        Args:
            prompt: what to draw, or a list; at most 10,000 characters each.
            height: of the images in pixels, instead of `size`; a multiple of the pixels of a cell.
            width: see `height`; if only one is given, the other is the model's default.
            size: ROWSxCOLUMNS in tokens, or (rows, columns); None is the model's default grid.
            guidance_scale: see :class:`Sampling`, as for the four from `temperature`; None takes the model's default.
            negative_prompt: of the unconditional stream, for all prompts or one for each; None or "" for the model's
                own. It has no effect, and there is a warning, if guidance is 1.
            num_images_per_prompt: images for each prompt, 1 to 1024.
            temperature: 0 is greedy.
            top_k: 0 is off.
            top_p: 1 is off.
            min_p: 0 is off.
            generator: of PyTorch, from which the seeds are drawn; or a list, one for each image.
            seed: of the first image, 0 to 2^63 - 1; image i has seed + i, modulo 2^63; or a list, one for each image.
                None, without a generator, draws one from PyTorch's generator: see `output.seeds`.
            method: `name[:key=value...]`; `spatialspec methods` lists names.
            quality: "exact", "high", "balanced" or "fast": presets of `spatial`.
            tolerance: 0 is exact, infinity fastest; overrides the preset; an option in `method` overrides both.
            budget: drafted tokens of a pass, or "auto" for the fastest number here; see `report.remarks`.
            verifier: "coupled" (same tokens as AR) or "rejection" (same distribution), where a method takes either.
            output_type: "pil", "np", "pt" or "tokens"; see :class:`Output`.
            return_dict: False returns a plain tuple of the values of :class:`Output`.
            callback_on_step_end: called as `callback(pipeline, step, timestep, callback_kwargs)` after every pass of an
                image: index of the pass, committed cells, and a dictionary of "step" (:class:`Step`), the record of the
                pass, and "tokens", those committed. It may raise or call `interrupt`; its value is ignored.
            callback_on_step_end_tensor_inputs: which of "step" and "tokens" to pass; None is none.
            written: tokens of the first cells of each image, to continue from: `output.tokens` of an interrupted call
                with the same arguments. A seed-exact method draws the same image; `zipar` and `pjd` draw cells that
                they wrote ahead again. Complete images are returned unchanged, and are not in the report.

        Raises:
            BadInput: a bad argument, before anything is computed; or scores that are not finite.
        """
        self._interrupt = False
        numbers: dict[str, Any] = {"guidance": guidance_scale, "temperature": temperature, "top_k": top_k}
        numbers |= {"top_p": top_p, "min_p": min_p}
        with arguments.reading():
            parsed = method if isinstance(method, Method) else Method.parse(method)
            (chosen,) = dialled([parsed], quality, tolerance, budget)
            sampling = replace(self.target.default, **{k: v for k, v in numbers.items() if v is not None})
            grid = arguments.grid(self.target, size, height, width)
            images = arguments.images("num_images_per_prompt", num_images_per_prompt)
            prompts = [text for text in arguments.prompts(prompt) for _ in range(images)]
            negatives = arguments.negatives(negative_prompt, len(prompts) // images, images)
            layout = self.target.layout(grid)
            begun = arguments.written(written, len(prompts), layout.cells, self.target.vocabulary)
            arguments.among("verifier", verifier, RULES)
            arguments.among("output_type", output_type, OUTPUT_TYPES)
            as_output = arguments.flag("return_dict", return_dict)
            arguments.function("callback_on_step_end", callback_on_step_end)
            named = "callback_on_step_end_tensor_inputs"
            inputs = arguments.names(named, callback_on_step_end_tensor_inputs, CALLBACK_INPUTS)
            seeds = arguments.seeds(seed, generator, len(prompts))  # last: it draws from the generator
        if any(negatives) and sampling.streams == 1:
            warnings.warn("negative_prompt has no effect with guidance_scale 1", stacklevel=2)
        if chosen.rule_under(verifier) != verifier == "rejection":
            warnings.warn(f"{chosen} is verified by coupled noise, whatever the verifier", stacklevel=2)

        request, expected = Request(prompts, seeds, sampling, grid, verifier, negatives, begun, images), ""
        with unrounded(self.device):
            if isinstance(budget, str) and budget == AUTO:
                batch = replace(request, images=len(prompts))  # measured as it is drawn: all images together
                with self._progress(effort(chosen, batch)) as bar:
                    progress, interrupted = (lambda _, cells: bar.update(cells)), (lambda: self._interrupt)
                    chosen, expected = tuned(self.target, self.drafts, chosen, batch, progress, interrupted)
            with self._progress(layout.cells * len(prompts), sum(map(len, begun))) as bar:

                def notify(step: Step) -> None:
                    bar.update(len(step.after.tokens) - len(step.before.tokens))
                    if callback_on_step_end is not None:
                        values = {"step": step, "tokens": step.after.tokens}
                        kwargs = {name: values[name] for name in inputs}
                        callback_on_step_end(self, step.after.passes - 1, len(step.after.tokens), kwargs)

                output = self.draw(request, chosen, output_type, notify).with_remark(expected)
        return output if as_output else output.to_tuple()

    def draw(
        self,
        request: Request,
        method: Method,
        output_type: str = "pil",
        on_step: Callable[[Step], object] = lambda step: None,
    ) -> Output:
        """Draw the images of a request; `on_step` is called after every pass of every image."""
        if output_type != "tokens" and isinstance(self.target, MayLackPixels):
            self.target.check_pixels()
        try:
            tokens, report = generate(self.target, self.parts, method, request, on_step, lambda: self._interrupt)
        finally:
            self._interrupt = False
        with traced(self.target):
            return Output(images_of(self.target, tokens, request.grid, output_type), tokens, [*request.seeds], report)

    def remarks(self, prompts: str | Sequence[str]) -> list[str]:
        """What to know of prompts: with `icons` a style that it chooses, and words that it never saw."""
        return remarks(self.target, [prompts] if isinstance(prompts, str) else prompts)

    def interrupt(self) -> None:
        """End the current call after the current pass; it returns the tokens committed so far."""
        self._interrupt = True

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Arguments of `tqdm` for the bars of later calls, as in diffusers; `disable=True` shows none."""
        self._bar = settings

    def _progress(self, total: int, initial: int = 0) -> tqdm[Any]:
        return tqdm(**{"total": total, "initial": initial, "unit": " tokens", "leave": False, **self._bar})

    def preview(self, state: State) -> PILImage.Image | None:
        """Image of `state.finished`: the complete rows of the current grid; None if there are none."""
        with traced(self.target):
            return None if state.finished is None else self.target.pixels(state.finished[1], state.finished[0])
