"""Lines that users of diffusers type, each for every kind of model: it is true what they expect."""

from __future__ import annotations

import copy
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from PIL import Image

from helpers.real_targets import MAKES
from spatialspec import BadInput, Grid, SpatialPipeline

LOADING = (  # F: the folder
    "load(F).dtype == torch.float32",
    "load(str(F), torch_dtype=torch.float16).dtype == torch.float16",
    "load(F, dtype='bf16').dtype == torch.bfloat16",
    "load(F, torch_dtype='auto').device.type == 'cpu'",
    "load(F, device_map='cpu').device.type == 'cpu'",
    "load(F, use_safetensors=True, low_cpu_mem_usage=True, variant=None) is not None",
    "load(F, revision='main', cache_dir=tmp, token=None, local_files_only=True) is not None",
)
DRAWING = (  # P: a prompt; own: size S and a seed; H, W: its pixels; tokens: of the image
    "isinstance(pipe(P, size=S).images[0], Image.Image)",
    "pipe(prompt=P, **own)[0][0].size == (W, H)",
    "pipe(P, H, W, seed=0).tokens == tokens",
    "pipe(P, height=H, width=W, seed=0).tokens == tokens",
    "len(pipe([P, P], negative_prompt=[None, None], num_images_per_prompt=2, **own).images) == 4",
    "pipe(P, guidance_scale=1.5, temperature=0.9, top_k=9, top_p=0.9, min_p=0.01, **own).seeds == [0]",
    "pipe(P, size=S, generator=gen(5)).seeds == pipe(P, size=S, generator=gen(5)).seeds",
    "len(set(pipe([P, P], size=S, generator=[gen(1), gen(2)]).seeds)) == 2",
    "same(lambda: torch.manual_seed(3) and pipe(P, size=S).seeds)",
    "pipe(P, output_type='np', **own).images.shape == (1, H, W, 3)",
    "pipe(P, output_type='pt', **own).images.shape == (1, 3, H, W)",
    "pipe(P, return_dict=False, **own)[1] == tokens",
    "pipe(P, callback_on_step_end=lambda pipe, step, timestep, kwargs: kwargs, **own).tokens == tokens",
    "inside(torch.inference_mode(), lambda: pipe(P, **own).tokens) == tokens",
    "inside(torch.no_grad(), lambda: pipe(P, **own).tokens) == tokens",
    "in_a_thread(lambda: pipe(P, **own).tokens) == tokens",
    "pipe.to('cpu') is pipe.to(torch.float32) is pipe.to('cpu', torch.float32) is pipe",
    "SpatialPipeline(**pipe.components)(P, **own).tokens == tokens",
    "copy.deepcopy(pipe)(P, **own).tokens == tokens",
    "pipe.save_pretrained(tmp / 'saved') is None and (tmp / 'saved' / 'config.json').is_file()",
    "pipe.set_progress_bar_config(disable=True, desc='x') is None",
)

REFUSED = {  # and the message
    "pipe(P, output_type='latent')": "expected one of pil, np, pt, tokens",
    "pipe(P, callback_on_step_end_tensor_inputs=['latents'])": "expected one of step, tokens",
    "load(F, trust_remote_code=True)": "expected False, always",
    "load(F, variant='fp16')": "expected None, always",
    "pipe.enable_model_cpu_offload()": "expected all weights on devices",
}


def in_a_thread(call: Any) -> Any:
    found: list[Any] = []
    thread = Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def inside(context: Any, call: Any) -> Any:
    with context:
        return call()


@pytest.fixture(params=MAKES)
def names(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the lines name."""
    made, tmp = MAKES[request.param], tmp_path_factory.mktemp("lines")
    folder: Path = made.make(tmp / "model")
    pipe = SpatialPipeline.from_pretrained(folder)
    size = str(pipe.target.grid) if made.size is None else made.size
    grid, own = Grid.parse(size), {"size": size, "seed": 0}
    return {
        "number": list(MAKES).index(request.param),
        "F": folder, "P": made.prompts[1], "S": size, "own": own, "tmp": tmp, "pipe": pipe,
        "H": grid.rows * pipe.target.patch, "W": grid.columns * pipe.target.patch,
        "tokens": pipe(made.prompts[1], **own).tokens, "load": SpatialPipeline.from_pretrained,
        "gen": lambda seed: torch.Generator("cpu").manual_seed(seed), "same": lambda call: call() == call(),
        "inside": inside, "in_a_thread": in_a_thread, "copy": copy, "torch": torch, "Image": Image,
        "SpatialPipeline": SpatialPipeline,
    }  # fmt: skip


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.long)])
def test_lines(names: dict[str, Any], half: int) -> None:
    """Every other line, and the others for the next kind; the other half in `make long`."""
    failed = {}
    for line in (*LOADING, *DRAWING)[(names["number"] + half) % 2 :: 2]:
        try:
            assert eval(line, names)
        except Exception as error:
            failed[line] = error
    assert not failed

    for line, message in REFUSED.items():
        with pytest.raises(BadInput, match=message):
            eval(line, names)
