"""`spatialspec.accelerate(pipe)`: the AR part of diffusers' `GlmImagePipeline` in fewer passes, behind the same call.

The pipeline, and applications that own one, draw image tokens with
`pipe.vision_language_encoder.generate(**inputs, max_new_tokens=..., do_sample=True)`. This is what is replaced, on the
pipeline's own model and nowhere else. Prompts, sizes, sampling and seeds stay the pipeline's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from spatialspec import arguments
from spatialspec.core.context import Unfit
from spatialspec.core.errors import BadInput
from spatialspec.core.step import Step
from spatialspec.drafts import weights
from spatialspec.generation import generate
from spatialspec.integrations.custom_generate import grid_of, sampling_of, sequences, token_request
from spatialspec.methods.method import Method
from spatialspec.methods.network import DraftNetwork
from spatialspec.targets.loading import wrap

Pipe = TypeVar("Pipe")


def accelerate(
    pipe: Pipe,
    *,
    method: str | Method = "spatial",
    draft: str | Path | Sequence[DraftNetwork | Unfit] = (),
    callback: Callable[[Step], object] | None = None,
    undo: bool = False,
) -> Pipe:
    """Let the AR part of a `GlmImagePipeline` of diffusers draw with a method of this package.

    It is called as before. `generator` sets the seed of the AR part, which has a progress bar of its own, set by
    `pipe.set_progress_bar_config`. `pipe._interrupt = True`, from a callback or another thread, ends it after the
    current pass, and code 0 fills what is missing. The distribution is that of the model's generation config, but that
    only codes of the image are drawn and that the image ends where its size says. `image=` is drawn as before, with a
    warning.

    Args:
        pipe: the pipeline, which is changed.
        method: as in `SpatialPipeline.__call__`; options such as a tolerance are written into it.
        draft: draft weights made for the AR part, or their folder, for methods that need them.
        callback: called with the record of every pass of every image; it may raise, which ends the call of `pipe`.
        undo: whether to put back what was there before.

    Returns:
        The pipeline.

    Raises:
        BadInput: another pipeline, an attention that cannot take the masks of trees, or a bad method or draft.
    """
    parts: Any = pipe
    model: Any = getattr(parts, "vision_language_encoder", None)
    if not hasattr(parts, "processor") or not hasattr(model, "generate"):
        advice = "for a model of transformers use spatialspec.wrap"
        raise BadInput(f"a {type(pipe).__name__}", "GlmImagePipeline of diffusers with its AR part", advice)
    if isinstance(before := vars(model).get("generate"), PriorTokens):
        before.leave()
    if undo:
        return pipe
    with arguments.reading():
        chosen = method if isinstance(method, Method) else Method.parse(method)
        arguments.function("callback", callback)
    target = wrap(model, parts.processor)
    if isinstance(draft, str | Path):
        draft = weights.load_all(arguments.path("draft", draft), target)
    model.generate = PriorTokens(parts, target, chosen, draft, callback)
    return pipe


class PriorTokens:
    """What stands in the place of `pipe.vision_language_encoder.generate`.

    Args:
        pipe: of diffusers.
        target: around its AR part.
        method: how to decode.
        drafts: draft weights.
        callback: see `accelerate`.
    """

    def __init__(
        self,
        pipe: Any,
        target: Any,
        method: Method,
        drafts: Sequence[DraftNetwork | Unfit],
        callback: Callable[[Step], object] | None,
    ) -> None:
        self._pipe, self._target, self._method, self._drafts, self._callback = pipe, target, method, drafts, callback
        self._own = vars(target.model).get("generate")  # of an application that replaced it first
        self._generate = target.model.generate

    def leave(self) -> None:
        """Put back what was there before."""
        del self._target.model.generate
        if self._own is not None:
            self._target.model.generate = self._own

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """As `generate` of transformers; a call with `pixel_values` is drawn by it, one token a pass."""
        if inputs.get("pixel_values") is not None:
            warnings.warn("image= is drawn as without spatialspec, one token a pass", stacklevel=2)
            return self._generate(*args, **inputs)
        model: Any = self._target.model
        if (hook := getattr(model, "_hf_hook", None)) is not None:
            hook.pre_forward(model)  # moves a model that is offloaded between its calls to the device that runs it
        return type(model).generate(model, *args, custom_generate=self._draw, **inputs)

    def _draw(
        self, model: Any, input_ids: Tensor, generation_config: Any = None, image_grid_thw: Any = None, **inputs: Any
    ) -> Tensor:
        """The sequences, called by `generate` of transformers with its effective generation config."""
        if image_grid_thw is None:
            raise BadInput("no image_grid_thw", "the inputs as the processor returns them", "give all of them")
        target, grid = self._target, grid_of(self._target, None, image_grid_thw)
        request = token_request(input_ids, inputs.get("attention_mask"), sampling_of(generation_config), grid)
        cells, stopped = target.layout(grid).cells, self._stopped
        with self._pipe.progress_bar(total=cells * len(input_ids)) as bar:

            def notify(step: Step) -> None:
                bar.update(len(step.after.tokens) - len(step.before.tokens))
                if self._callback is not None:
                    self._callback(step)

            def interrupted() -> bool:
                return self._stopped and not stopped  # the flag of an earlier call stays up

            tokens, _ = generate(target, self._drafts, self._method, request, notify, interrupted)
        return sequences(target, input_ids, [(*written, *(0,) * (cells - len(written))) for written in tokens], grid)

    @property
    def _stopped(self) -> bool:
        return bool(getattr(self._pipe, "_interrupt", False))
