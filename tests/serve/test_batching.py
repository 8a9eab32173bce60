"""Images of many requests in one batch: each is what it is alone, whoever shares the passes, joins, leaves or fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from helpers.gate import Gate
from helpers.serving import drawn, eventually, serving
from spatialspec.core.errors import NotFinite
from spatialspec.decode import Image
from spatialspec.pipeline import SpatialPipeline
from spatialspec.serve.batch import Batch
from spatialspec.targets import room
from spatialspec.targets.session import TargetSession

SETTINGS: list[dict[str, Any]] = [
    {"prompt": "a cat", "seed": 1},
    {"prompt": "green tree", "seed": 1, "method": "ar", "guidance_scale": 1.0},
    {"prompt": "a cat", "seed": 2, "method": "hawk", "temperature": 0.6, "top_k": 12},
    {"prompt": "yellow star, noto", "seed": 3, "quality": "fast", "guidance_scale": 4.0},
    {"prompt": "a cat", "seed": 4, "method": "jacobi:length=9", "top_p": 0.8, "negative_prompt": "red apple, 3d"},
    {"prompt": "blue heart, flat", "seed": 5, "method": "ssd:rounds=1", "temperature": 0.0},
    {"prompt": "a cat", "seed": 6, "method": "zipar:window=3", "guidance_scale": 2.5},
    {"prompt": "red apple, 3d", "seed": 7, "method": "sjd", "top_k": 5, "negative_prompt": "a cat"},
]  # fmt: skip


def alone(pipeline: SpatialPipeline, settings: dict[str, Any]) -> list[int]:
    return list(pipeline(**settings, output_type="tokens").tokens[0])


def test_requests_of_one_batch_differ_in_every_setting(pipeline: SpatialPipeline, gate: Gate) -> None:
    """Eight share their first pass; a second round of them joins while others are drawn."""
    wanted = [alone(pipeline, settings) for settings in SETTINGS]
    gate.shut()
    with serving(pipeline) as served, gate, ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(drawn, served, settings) for settings in [*SETTINGS, *SETTINGS[::-1]]]
        eventually(lambda: served.metric("spatialspec_queue_images") == 16, "not all are queued")
        gate.open()
        tokens = [one.result()["tokens"] for one in waiting]
        served.settled()
        passes = served.metric("spatialspec_passes_total")
        assert served.metric('spatialspec_batch_size_bucket{le="8.0"}') == passes
        assert served.metric('spatialspec_batch_size_bucket{le="4.0"}') < passes, "none was shared by more than four"
    assert tokens == [*wanted, *wanted[::-1]]


def test_the_first_partial_image_leaves_early(pipeline: SpatialPipeline, gate: Gate) -> None:
    """The thread that draws stands still before 60 % of the cells are written until the client has the image."""
    with serving(pipeline) as served, gate:
        for method in ("ar", "spatial"):
            gate.shut(lambda batch: any(d.state and len(d.state.tokens) > 12 for d in batch.drawings))
            with served.stream(seed=3, partial_images=1, method=method) as (_, events):
                first = next(events)
                assert first["type"] == "image_generation.partial_image"
                assert first["cells"] < 0.6 * 36 and 0 < first["passes"] <= first["cells"]
                gate.open()
                (done,) = events
            assert done["passes"] > first["passes"] and done["tokens"] == alone(pipeline, {
                "prompt": "a cat", "seed": 3, "method": method})  # fmt: skip


def test_scores_that_are_not_finite_end_one_image(pipeline: SpatialPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others of the batch are drawn as if nothing had been, those before it and those behind it."""
    verify = Image.verify

    def broken(image: Image, proposal: Any, p: torch.Tensor) -> Any:
        if image.sampling.top_k == 7 and image.state.frontier > 9:
            raise NotFinite("scores", image.state.passes)
        return verify(image, proposal, p)

    monkeypatch.setattr(Image, "verify", broken)
    settings = [{"prompt": "a cat", "seed": i, "method": ("ar", "spatial")[i % 2]} for i in range(5)]
    with serving(pipeline) as served, ThreadPoolExecutor(6) as pool:
        waiting = [
            pool.submit(drawn, served, {**one, **({"top_k": 7} if i == 2 else {})}) for i, one in enumerate(settings)
        ]
        *others, failed = [waiting[i].result() for i in (0, 1, 3, 4, 2)]
        assert failed["error"]["type"] == "server_error" and "not finite" in failed["error"]["message"]
        answer = served.post(seed=0, top_k=7)
        assert answer.status_code == 500 and answer.json()["error"] == failed["error"] | answer.json()["error"]
        served.settled()
    assert [one["tokens"] for one in others] == [alone(pipeline, settings[i]) for i in (0, 1, 3, 4)]


def test_a_pass_that_fails_ends_its_batch_alone(pipeline: SpatialPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    score, left = TargetSession.score, iter([1])

    def fails_once(session: TargetSession, *arguments: Any) -> Any:
        if next(left, None):
            raise RuntimeError(f"{__file__}: a secret of the machine")
        return score(session, *arguments)

    with serving(pipeline) as served:
        monkeypatch.setattr(TargetSession, "score", fails_once)
        answer = served.post(n=2)
        assert answer.status_code == 500 and "secret" not in answer.text and ".py" not in answer.text
        assert drawn(served, SETTINGS[0])["tokens"] == alone(pipeline, SETTINGS[0])
        served.settled()
        assert served.metric('spatialspec_requests_total{outcome="failed"}') == 1


def test_memory_admits(pipeline: SpatialPipeline, monkeypatch: pytest.MonkeyPatch, gate: Gate) -> None:
    """With room for three sequences and a half, one image of two sequences is drawn beside one of one, never more."""
    batches: list[Batch] = []
    most: list[int] = []

    def taken() -> int:
        session = batches[-1]._session if batches else None
        return len(session.cache.lengths) if isinstance(session, TargetSession) and session.cache._stores else 0

    def free(device: torch.device) -> int:
        return int((3.5 - taken()) * each[device])

    def note(batch: Batch) -> bool:
        batches[:] = [batch]
        most.append(sum(drawing.request.sampling.streams for drawing in batch.drawings))
        return False

    session = pipeline.target.session(["a cat"], [""], pipeline.target.default, pipeline.target.grid)
    assert isinstance(session, TargetSession)
    each = session.cache.sequence_bytes()
    monkeypatch.setattr(room, "free_memory", free)
    gate.shut(note)
    with serving(pipeline) as served, gate, ThreadPoolExecutor(8) as pool:
        settings = [{"prompt": "a cat", "seed": i, "guidance_scale": 1.0 + i % 2} for i in range(8)]
        tokens = [one["tokens"] for one in pool.map(lambda one: drawn(served, one), settings)]
        served.settled()
        assert max(most) == 3
        monkeypatch.setattr(room, "free_memory", lambda device: each[device] // 2)
        answer = served.post()
        assert answer.status_code == 503 and "draw a smaller grid, or free memory" in answer.json()["error"]["message"]
    monkeypatch.undo()
    assert tokens == [alone(pipeline, one) for one in settings]


def test_thirty_clients(pipeline: SpatialPipeline) -> None:
    """None is lost, none gets the image of another; each image is that of one thread."""
    settings = [{**SETTINGS[i % 8], "seed": i // 8} for i in range(24)]
    wanted = [alone(pipeline, one) for one in settings]
    with serving(pipeline, queue=1000) as served, ThreadPoolExecutor(30) as pool:
        chosen = [i * 7 % 24 for i in range(90)]
        answers = list(pool.map(lambda i: drawn(served, settings[i]), chosen))
        served.settled()
        assert served.metric('spatialspec_requests_total{outcome="completed"}') == 90
    assert [answer["tokens"] for answer in answers] == [wanted[i] for i in chosen]
