"""`POST /generate`, as the diffusion server of SGLang asks it of the server of GLM-Image's AR part.

SGLang, started with `--srt-encoder-url` set to this server, tokenizes the prompts itself and sends their ids, the grids
of image and preview, and a seed: of one prompt, or lists of all. It reads the ids of the image's tokens, then its own
diffusion model draws. Served only where the model is GLM-Image.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fastapi.requests import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from spatialspec.core.errors import BadInput
from spatialspec.core.sampling import Sampling
from spatialspec.methods.method import Method
from spatialspec.request import TokenRequest
from spatialspec.serve.app import Server, cancelled, unless_gone
from spatialspec.serve.job import Job, JobImage
from spatialspec.serve.problems import Problem
from spatialspec.serve.request_body import FREE_SEEDS, SEEDS

if TYPE_CHECKING:
    from spatialspec.targets.glm_image import GlmImageTarget

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
MOST = 64  # prompts of a request
Ids = list[NonNegativeInt]


class GridsBody(BaseModel):
    """Grids of one prompt.

    Attributes:
        image_grid_thw: (1, rows, columns) of the image, and of the preview that is drawn first.
    """

    model_config = STRICT

    image_grid_thw: list[list[PositiveInt]] = Field(min_length=2, max_length=2)


class SamplingBody(BaseModel):
    """Sampling of one prompt; what is missing is the model's default.

    Attributes:
        temperature: see :class:`Sampling`, here and in the next three; top_k -1 is off too.
        top_p: see above.
        top_k: see above.
        min_p: see above.
        sampling_seed: drawn if missing.
        max_new_tokens: read and not used: the grids set the length.
        ignore_eos: likewise.
    """

    model_config = STRICT

    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, le=2**31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    sampling_seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    max_new_tokens: int | None = None
    ignore_eos: bool | None = None

    def sampling(self, default: Sampling) -> Sampling:
        """The sampling that it asks for."""
        names = ("temperature", "top_p", "top_k", "min_p")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return replace(default, **given | ({"top_k": 0} if self.top_k == -1 else {}))


class GenerateBody(BaseModel):
    """A request: every field of one prompt, or lists of equal length.

    Attributes:
        input_ids: ids of the prompt, up to the token that opens the image.
        image_data: its grids, in a list of one.
        sampling_params: see :class:`SamplingBody`.
    """

    model_config = STRICT

    input_ids: Ids | list[Ids] = Field(min_length=1)
    image_data: list[GridsBody] | list[list[GridsBody]]
    sampling_params: SamplingBody | list[SamplingBody] = Field(default_factory=SamplingBody)

    @property
    def single(self) -> bool:
        """Whether it is one prompt, and not a list of them."""
        return isinstance(self.input_ids[0], int)

    def prompts(self) -> list[tuple[Ids, GridsBody, SamplingBody]]:
        """Ids, grids and sampling of every prompt.

        Raises:
            Problem: the lists differ in length, or hold no ids or too many prompts.
        """
        ids: Any = [self.input_ids] if self.single else self.input_ids
        grids: Any = [self.image_data] if self.single else self.image_data
        sampling: Any = (
            self.sampling_params if isinstance(self.sampling_params, list) else [self.sampling_params] * len(ids)
        )
        one = all(isinstance(each, list) and len(each) == 1 for each in grids)
        if not (one and all(ids) and len(ids) == len(grids) == len(sampling) <= MOST):
            message = f"got lists that do not fit, expected ids, grids and sampling of 1 to {MOST} prompts each"
            raise Problem(400, message, param="image_data", code="invalid_value")
        return [(each, pair[0], numbers) for each, pair, numbers in zip(ids, grids, sampling, strict=True)]


class SGLangRoute:
    """The route.

    Args:
        server: of GLM-Image.
    """

    def __init__(self, server: Server) -> None:
        self._server, self._target = server, cast("GlmImageTarget", server.pipeline.target)

    async def generate(self, body: GenerateBody, http: HttpRequest) -> Response:
        """Draw the tokens of all prompts: their ids, preview first, and the id that ends the image."""
        server = self._server
        try:
            job = await asyncio.to_thread(self._job, body)
            server.scheduler.submit(job)
        except Problem:
            server.scheduler.meters.requests.labels("refused").inc()
            raise
        try:
            answers = await unless_gone(http, self._answers(job))
        finally:
            server.release(job)
        if answers is None:
            return cancelled().response()
        return JSONResponse(answers[0] if body.single else answers)

    async def _answers(self, job: Job) -> list[dict[str, Any]]:
        """Wait for the job."""
        async for _ in job.changes():
            pass
        if job.problem is not None:
            raise job.problem
        return [self._answer(drawing) for drawing in job.drawings]

    def _job(self, body: GenerateBody) -> Job:
        """Check everything that could stop a job, before anything is computed."""
        target, method, drawings = self._target, Method.parse("spatial"), []
        with self._server.scheduler.reading:
            for ids, grids, numbers in body.prompts():
                seed = secrets.randbelow(FREE_SEEDS) if numbers.sampling_seed is None else numbers.sampling_seed
                try:
                    grid = target.grid_of(grids.image_grid_thw)
                    target.check_grid(grid)
                    target.check_ids([ids], grid)
                except BadInput as error:
                    raise Problem.of(error, "input_ids") from error
                request = TokenRequest(["ids"], [seed], numbers.sampling(target.default), grid, ids=[[ids]])
                drawings.append(JobImage(request, method, target.layout(grid).cells))
        return Job(drawings, self._server.scheduler.limits.seconds)

    def _answer(self, drawing: JobImage) -> dict[str, Any]:
        assert drawing.state is not None and isinstance(drawing.request, TokenRequest)
        ids = [*drawing.state.tokens, self._target.image_end]
        ((prompt,),) = drawing.request.ids
        return {"output_ids": ids, "meta_info": {"prompt_tokens": len(prompt), "completion_tokens": len(ids)}}
