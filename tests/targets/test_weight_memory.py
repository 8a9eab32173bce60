"""Bytes of weights are known before any is read, equal to what is allocated, and too many are refused with figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, QuantoConfig

from helpers.llamagen_tiny import tiny_t5
from helpers.real_targets import MAKES
from helpers.tiny import call_main
from spatialspec import BadInput, SpatialPipeline, devices
from spatialspec.targets import grid_target, placing, pretrained, room
from spatialspec.targets.llamagen.captions import T5Captions

Free = Callable[[int | None], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("made")
    return {kind: maker.make(root / kind) for kind, maker in MAKES.items()}


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Sets the bytes that every device has left."""
    return lambda count: monkeypatch.setattr(room, "free_memory", lambda device: count)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that were asked for."""
    found: list[int] = []

    def check(numbers: int, dtype: torch.dtype, devices: Any, where: Any = None, others: int = 0) -> None:
        found.append(numbers * dtype.itemsize + others)

    for module in (pretrained, grid_target):
        monkeypatch.setattr(module, "check_weights", check)
    return found


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", MAKES)
def test_what_is_known_before_is_what_is_allocated(
    made: dict[str, Path], kind: str, dtype: str, asked: list[int]
) -> None:
    networks: Any = SpatialPipeline.from_pretrained(made[kind], dtype=dtype).target.networks
    main = networks if kind in ("icons", "classes", "captions", "codes") else networks[:1]
    parts = [part for network in main for part in (*network.parameters(), *network.buffers())]
    assert asked == [pytest.approx(sum(part.nbytes for part in parts), rel=1e-3)]  # buffers may be converted too


@pytest.mark.parametrize("kind", MAKES)
def test_too_large_models_are_refused(
    made: dict[str, Path], kind: str, asked: list[int], monkeypatch: pytest.MonkeyPatch, free: Free
) -> None:
    SpatialPipeline.from_pretrained(made[kind])
    monkeypatch.undo()
    for home, name in ((grid_target, "load_module"), (PreTrainedModel, "from_pretrained")):
        monkeypatch.setattr(home, name, lambda *_, **__: pytest.fail("weights were read"))
    (needed,) = asked
    for left, advice in ((needed - 1, "give dtype bf16, which takes"), (10, "free memory, or give a smaller model")):
        monkeypatch.setattr(room, "free_memory", lambda device, left=left: left)
        with pytest.raises(
            BadInput, match=r"got weights of 0\.0\d GB, expected at most 0\.0\d GB, free on cpu: "
        ) as error:
            SpatialPipeline.from_pretrained(made[kind])
        assert error.value.advice.startswith(advice) and error.value.where == str(made[kind])


def test_figures_of_a_large_model(free: Free) -> None:
    free(9_000_000_000)
    cpu, seven = {torch.device("cpu")}, 6_900_000_000
    with pytest.raises(BadInput) as error:
        placing.check_weights(seven, torch.bfloat16, cpu)
    assert str(error.value).startswith(
        "got weights of 13.80 GB, expected at most 9.00 GB, free on cpu: free memory, or"
    )
    with pytest.raises(BadInput, match=r"weights of 16\.16 GB.*: give dtype bf16, which takes 8\.16 GB$"):
        placing.check_weights(4_000_000_000, torch.float32, cpu, others=160_000_000)
    placing.check_weights(seven, torch.bfloat16, {torch.device("cuda", i) for i in range(2)})
    free(None)
    placing.check_weights(10**15, torch.float32, cpu)  # what it has is not known


def test_devices_of_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, first, second = torch.device("cpu"), torch.device("cuda", 0), torch.device("cuda", 1)
    assert placing.devices_of("cpu") == {cpu} and placing.devices_of("cuda:1", {"": "cpu"}) == {cpu}
    assert placing.devices_of("cpu", {"model": first, "lm_head": "cuda:1", "x": second}) == {first, second}
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert placing.devices_of("cpu", "auto") == {first, second}
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
    assert placing.devices_of("cpu", "balanced") == {cpu}


def test_the_text_encoder_too(tmp_path: Path, free: Free) -> None:
    encoder = T5Captions(tiny_t5(tmp_path / "t5"))
    free(10)
    with pytest.raises(BadInput, match="got weights of"):
        encoder(["a cat"])


def test_quantised_weights_take_less(made: dict[str, Path], free: Free) -> None:
    """How much less their method knows alone: they are loaded."""
    free(10)
    SpatialPipeline.from_pretrained(made["janus"], quantization_config=QuantoConfig(weights="int8"))


def test_moving(made: dict[str, Path], free: Free, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = SpatialPipeline.from_pretrained(made["icons"])
    monkeypatch.setattr(devices, "_devices", lambda: ["cpu", "meta"])
    free(10)
    assert pipe.to("cpu", "bf16") is pipe, "nothing moves"
    with pytest.raises(BadInput, match=r"got weights of .* free on meta"):
        pipe.to("meta")
    free(None)
    assert pipe.device == torch.device("cpu") and pipe("a cat", size="1x1", seed=0).images


def test_on_the_command_line(
    made: dict[str, Path], free: Free, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free(10)
    code, out, err = call_main(capsys, "generate", "a cat", "--model", made["janus"], "--out", tmp_path / "a.png")
    assert (code, out, err.count("\n")) == (2, "", 1) and "got weights of 0.00 GB" in err
