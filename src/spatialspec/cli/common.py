"""Options that commands share, checked in order of cost: texts, files, numbers, then the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialspec import arguments, devices
from spatialspec.cli.display import Display, notes, progress, waiting
from spatialspec.core.arguments import whole
from spatialspec.core.errors import BadInput, printable, shown
from spatialspec.core.grid import Grid
from spatialspec.methods.method import RULES, Method
from spatialspec.methods.presets import AUTO, PRESETS, dialled

if TYPE_CHECKING:
    from spatialspec.pipeline import SpatialPipeline
    from spatialspec.request import Request


@dataclass(frozen=True)
class Common:
    """Options that several commands share, as typed."""

    model: str
    methods: str
    draft: str | None = None
    draft_model: str | None = None
    verifier: str = "coupled"
    seed: int = 0
    guidance: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    negative_prompt: str = ""
    size: str | None = None
    height: int | None = None
    width: int | None = None
    num_images: int = 1
    budget: str | None = None
    tolerance: float | None = None
    quality: str | None = None
    device: str | None = None
    dtype: str | None = None
    engine: str = "auto"

    @classmethod
    def of(cls, arguments: Mapping[str, Any], **changes: Any) -> Common:
        """From the arguments of a command, by name; options that it lacks get their default."""
        known = {field.name: arguments[field.name] for field in fields(cls) if field.name in arguments}
        return cls(**(known | changes))

    def parse_methods(self) -> list[Method]:
        """Check the options that need no model, and return the methods, each once.

        Raises:
            BadInput: a bad option.
        """
        from spatialspec.models import draft_folder, model_folder

        if self.quality is not None:
            arguments.among("--quality", self.quality, tuple(PRESETS))
        with loading(self.model):  # options of methods are defined beside their networks: this imports torch
            methods = Method.parse_list(self.methods)
        methods = dialled(methods, self.quality, self.tolerance, self.budget, dashes="--")
        methods = list(dict.fromkeys(methods))
        if not methods:
            raise BadInput(f"no method in {self.methods!r}", "names separated by commas", "see `models`")
        arguments.among("--verifier", self.verifier, RULES)
        devices.dtype_name(self.dtype or devices.AUTO, "--dtype")
        images = arguments.images("--num-images", self.num_images)
        whole("--seed", self.seed, 0, 2**63 - images, f"0 to 2^63 - {images}")
        arguments.negatives(self.negative_prompt, 1)
        if self.size is not None:
            Grid.parse(self.size, "--size")  # the model checks later whether it draws this size
        model_folder(str(arguments.path("--model", self.model)), whole=False)
        draft_folder(self.model, None if self.draft is None else str(arguments.path("--draft", self.draft)))
        if self.draft_model is not None:
            model_folder(str(arguments.path("--draft-model", self.draft_model)), whole=False)
        return methods

    def load(
        self, methods: Sequence[Method], prompts: Sequence[str], own_prompts: bool = True
    ) -> tuple[SpatialPipeline, Request]:
        """Check numbers and device, load the model, and check that every method can draw every prompt.

        Args:
            methods: from `parse_methods`.
            prompts: to draw; empty if not yet known, then checks that depend on them are skipped.
            own_prompts: whether the user gave them; False for the built-in ones.

        Raises:
            BadInput: a bad option, prompt or file.
        """
        self._check_numbers()
        read_folders(self.model, self.draft, self.draft_model, whole=True)  # fetches them with a bar of its own
        with loading(self.model):
            pipeline = self._load()
            request = self.request(pipeline, prompts)
            if prompts:
                checked(pipeline, methods, request, own_prompts)
            return pipeline, request

    @property
    def numbers(self) -> dict[str, Any]:
        """Sampling options that were typed."""
        names = "guidance", "temperature", "top_k", "top_p", "min_p"
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def request(self, pipeline: SpatialPipeline, prompts: Sequence[str]) -> Request:
        """The request that these options describe.

        Raises:
            BadInput: the model cannot draw the size.
        """
        from dataclasses import replace

        from spatialspec.request import Request

        (negative,) = arguments.negatives(self.negative_prompt, 1)
        sampling = replace(pipeline.target.default, **self.numbers)
        grid = arguments.grid(pipeline.target, self.size, self.height, self.width)
        return Request.of(prompts, sampling, grid, self.seed, self.num_images, self.verifier, negative)

    def _check_numbers(self) -> None:
        from spatialspec.core.sampling import Sampling

        for name, value in self.numbers.items():
            try:
                Sampling(**{name: value})
            except BadInput as error:
                option = f"--{name.replace('_', '-')}"
                raise BadInput(f"{option} {shown(value)}", error.expected, f"change {option}") from error
        devices.device(self.device, "--device")

    def _load(self) -> SpatialPipeline:
        from spatialspec.pipeline import SpatialPipeline

        return SpatialPipeline.from_pretrained(
            self.model, self.draft, self.device, self.dtype, engine=self.engine, draft_model=self.draft_model
        )

    def tuned(self, methods: Sequence[Method], pipeline: SpatialPipeline, request: Request) -> list[Method]:
        """The methods; with --budget auto, those without a budget get the fastest one here, and a note says which."""
        if self.budget != AUTO:
            return list(methods)
        from spatialspec.budget import effort, tuned

        def tune(method: Method) -> Method:
            with progress(effort(method, request)) as report:
                chosen, expected = tuned(pipeline.target, pipeline.drafts, method, request, report)
            notes([f"{method}: {expected}"] if expected else [])
            return chosen

        return [tune(method) for method in methods]


def loading(model: str) -> AbstractContextManager[Display]:
    """Show on a terminal that a model is being loaded, and its size."""
    from spatialspec.models import local_folder

    size = 0
    with suppress(BadInput, OSError):  # a missing model is refused later
        folder = local_folder(model)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder else 0
    return waiting(f"loading {printable(model)}" + (f", {size / 1e6:,.1f} MB" if size else ""))


def checked(pipeline: SpatialPipeline, methods: Sequence[Method], request: Request, own_prompts: bool) -> None:
    """Check a request, as `measure.runs.check` does.

    Args:
        pipeline: target and drafts.
        methods: to run.
        request: for all methods.
        own_prompts: whether the user gave the prompts; not every model draws the built-in ones.

    Raises:
        BadInput: something would stop the run.
    """
    from spatialspec.measure.runs import check

    if not own_prompts:
        prompts, target = request.prompts, pipeline.target
        try:
            target.check_prompts(prompts, [""] * len(prompts), request.grid)
        except BadInput as error:
            advice = f"{target.name} cannot draw the built-in prompts, give --prompts FILE"
            raise BadInput(error.got, error.expected, advice) from error
    check(pipeline, methods, request)


def read_folders(
    model: str, draft: str | None = None, draft_model: str | None = None, whole: bool = False
) -> list[Path | None]:
    """Folders that a command reads for a model and its drafts; outputs must not replace their files.

    Args:
        model: as typed.
        draft: as typed.
        draft_model: as typed.
        whole: whether the weights of models on the Hub are fetched too.
    """
    from spatialspec.models import draft_folder, model_folder

    small = None if draft_model is None else model_folder(draft_model, whole=whole)
    return [model_folder(model, whole=whole), draft_folder(model, draft), small]
