"""`POST /generate`, with the payloads that SGLang's diffusion server sends for GLM-Image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.serving import Serving, serving
from helpers.tiny_glm import CODES, tiny_glm
from spatialspec.core.grid import Grid
from spatialspec.pipeline import SpatialPipeline

SIZES = ("2x3", "1x2")


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> SpatialPipeline:
    made = SpatialPipeline.from_pretrained(tiny_glm(tmp_path_factory.mktemp("glm") / "glm"))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def served(glm: SpatialPipeline) -> Iterator[Serving]:
    with serving(glm) as running:
        yield running


def payload(glm: SpatialPipeline, prompt: str = "a cat", size: str = SIZES[0], seed: int | None = 7) -> dict[str, Any]:
    """What SGLang sends for one prompt."""
    target: Any = glm.target
    grid = Grid.parse(size)
    grids = [[1, each.rows, each.columns] for each in reversed(target.layout(grid).grids)]
    numbers = {"temperature": 1.0, "max_new_tokens": 9, "ignore_eos": True, "sampling_seed": seed}
    (ids,) = target.prompt_ids([prompt], [""], 1, grid)
    return {"input_ids": ids, "image_data": [{"image_grid_thw": grids}], "sampling_params": numbers}


def drawn(glm: SpatialPipeline, prompt: str, size: str, seed: int) -> list[int]:
    return [*glm(prompt, size=size, seed=seed, temperature=1.0).tokens[0], CODES + 1]


def test_one_prompt(served: Serving, glm: SpatialPipeline) -> None:
    assert served.http.get("/health").status_code == 200, "SGLang asks first"
    asked = payload(glm)
    answer = served.http.post("/generate", json=asked).json()
    assert answer["output_ids"] == drawn(glm, "a cat", SIZES[0], 7)
    assert answer["meta_info"] == {"prompt_tokens": len(asked["input_ids"]), "completion_tokens": 13 * 19 + 6 + 1}
    served.settled()


def test_several_prompts_of_two_sizes(served: Serving, glm: SpatialPipeline) -> None:
    """In the order of the request, whatever was drawn first."""
    each = [("a cat", SIZES[0], 1), ("a red apple", SIZES[1], 2), ("two dogs", SIZES[0], 3)]
    bodies = [payload(glm, *one) for one in each]
    joined = {name: [body[name] for body in bodies] for name in bodies[0]}
    answers = served.http.post("/generate", json=joined).json()
    assert [answer["output_ids"] for answer in answers] == [drawn(glm, *one) for one in each]


def test_seeds_are_drawn_and_greedy_needs_none(served: Serving, glm: SpatialPipeline) -> None:
    free, greedy = payload(glm, seed=None), payload(glm, seed=None)
    greedy["sampling_params"] |= {"temperature": 0.0, "top_k": -1}
    for asked, same in ((free, False), (greedy, True)):
        first, second = (served.http.post("/generate", json=asked).json()["output_ids"] for _ in range(2))
        assert (first == second) is same


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_ids", []), ("input_ids", [10**6]), ("input_ids", [-1]), ("input_ids", [80] * 5000), ("input_ids", [[]]),
        ("image_data", []), ("image_data", [{"image_grid_thw": [[1, 2, 3]]}]),
        ("image_data", [{"image_grid_thw": [[1, 2, 3], [1, 2, 2]]}]),
        ("image_data", [{"image_grid_thw": [[1, 2], [1, 2, 2]]}]),
        ("image_data", [{"image_grid_thw": [[1, 9999, 3], [1, 2, 2]]}]), ("image_data", ["image"]),
        ("sampling_params", {"temperature": -1.0}), ("sampling_params", {"best_of": 3}), ("sampling_params", []),
        ("stream", True),
    ],
)  # fmt: skip
def test_what_is_refused(served: Serving, glm: SpatialPipeline, field: str, value: Any) -> None:
    answer = served.http.post("/generate", json=payload(glm) | {field: value})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_other_models_have_no_such_route(pipeline: SpatialPipeline) -> None:
    with serving(pipeline) as running:
        assert running.http.post("/generate", json={}).status_code == 404
