"""The same door for every kind of checkpoint: negative prompts, None, damaged weights, damaged picture decoders."""

from pathlib import Path

import pytest

from helpers.covering import covering
from helpers.real_targets import MAKES
from spatialspec.core.errors import BadInput
from spatialspec.io.identity import weights
from spatialspec.pipeline import SpatialPipeline


@pytest.fixture(scope="module", params=list(MAKES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind)


@pytest.mark.parametrize(("kind", "none"), covering(MAKES, [None, "", " ", [None, ""]], 4), indirect=["kind"])
def test_no_negative_prompts(kind: str, folder: Path, none: list[str | None] | str | None) -> None:
    """None and blanks are the model's own unconditional input."""
    pipe, asked = SpatialPipeline.from_pretrained(folder), MAKES[kind]
    given = {"seed": [3, 3], "size": asked.size, "guidance_scale": 4.0}
    prompts = list(asked.prompts[:2])
    assert pipe(prompts, negative_prompt=none, **given).tokens == pipe(prompts, **given).tokens


def test_negative_prompts(kind: str, folder: Path) -> None:
    """One for each prompt."""
    pipe, (one, other) = SpatialPipeline.from_pretrained(folder), MAKES[kind].prompts
    given = {"size": MAKES[kind].size, "guidance_scale": 4.0}
    plain = pipe([one, other], seed=[3, 3], **given).tokens
    led = pipe([one, other], seed=[3, 3], negative_prompt=[other, None], **given).tokens
    assert led[0] == pipe(one, seed=3, negative_prompt=other, **given).tokens[0] != plain[0]
    assert led[1] == plain[1]


@pytest.mark.parametrize(("kind", "dtype"), covering(MAKES, ["fp32", "bf16", "fp16"]), indirect=["kind"])
def test_damaged_weights(kind: str, folder: Path, dtype: str) -> None:
    """No image, and the name of the tensor; of the picture decoder too, whose images would be black."""
    pipe, asked = SpatialPipeline.from_pretrained(folder, dtype=dtype), MAKES[kind]
    named = dict(weights(pipe.target))
    parts = ("quantize.embedding",) if kind == "glm" else ("post_quant", "decoder", "decode")  # it has no decoder
    codec = [w for name, w in named.items() if any(part in name for part in parts)][-1]
    whole = codec.detach().clone()
    codec.data.view(-1)[0] = float("nan")
    with pytest.raises(BadInput, match=r"(pixels|codes of the codebook) that are not finite"):
        pipe(asked.prompts[0], size=asked.size)
    codec.data.copy_(whole)
    inner = [n for n, w in named.items() if ("layers.0." in n or "blocks.0." in n) and w.ndim == 2 and "vi" not in n]
    block = inner[-1]
    named[block].data.view(-1)[7] = float("nan")
    with pytest.raises(BadInput, match="in pass 1") as refused:
        pipe(asked.prompts[0], size=asked.size)
    assert refused.value.advice.startswith(block) and refused.value.where == pipe.target.name
