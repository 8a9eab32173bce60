"""What a tester found at the doors who had not written them: each cause with its siblings."""

import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import transformers

from helpers import tiny_chameleon
from helpers.tiny import tiny_folder
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec import arguments
from spatialspec.budget import measure
from spatialspec.core.documents import parse_json
from spatialspec.core.errors import BadInput, NotFinite
from spatialspec.io.prompts import read_prompts
from spatialspec.methods.method import Method
from spatialspec.pass_time import PassTime, measure_passes
from spatialspec.pipeline import SpatialPipeline
from spatialspec.request import Request
from spatialspec.show.page import panel
from spatialspec.show.trace import trace
from spatialspec.targets.chameleon.target import ChameleonTarget
from spatialspec.targets.loading import wrap

ESCAPE = "\x1b]0;evil\x07"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pipe(folder: Path) -> SpatialPipeline:
    return SpatialPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def janus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_janus(tmp_path_factory.mktemp("janus") / "janus")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", [ESCAPE, "default"])
def test_libraries_do_not_repeat_a_folder(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_janus(tmp_path / "janus")
    config = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": kind, "rope_theta": 1e4, f"{ESCAPE}key": 1}
    edit(folder / "config.json", text_config=config["text_config"] | {"rope_parameters": rope})
    said: list[str] = []
    listener = logging.Handler()
    monkeypatch.setattr(listener, "emit", lambda record: said.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [listener])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            SpatialPipeline.from_pretrained(folder)
        except BadInput as error:
            assert str(error).isprintable()
    assert not said and not [warning for warning in caught if "evil" in str(warning.message)]
    assert logging.getLogger("transformers").level <= logging.WARNING  # as it was


BAD_MAPS: list[Any] = [
    "cuda", {"": "cuda:0"}, -1, 10**5000, "x", {}, Path("x"), {"": None}, {1: "cpu"}, True, {"": "disk"}, ["cpu"],
    {"": -1}, MagicMock(), 0.5, b"cpu", {"": "meta"},
]  # fmt: skip


@pytest.mark.skipif(torch.accelerator.is_available(), reason="the machine has such devices")
@pytest.mark.parametrize("value", BAD_MAPS, ids=lambda value: type(value).__name__)
def test_device_maps(janus: Path, value: Any) -> None:
    with pytest.raises(BadInput, match=r"^got device_map .*expected auto, balanced, .*: cpu$"):
        SpatialPipeline.from_pretrained(janus, device_map=value)


def test_device_maps_cover_the_model(janus: Path) -> None:
    with pytest.raises(BadInput, match=r"without a device for model.vision_model"):
        SpatialPipeline.from_pretrained(janus, device_map={"model.language_model": "cpu"})
    with pytest.raises(BadInput, match=r"with 'lm'"):
        SpatialPipeline.from_pretrained(janus, device_map={"": "cpu", "lm": "cpu"})
    for value in ("auto", "cpu", {"": "cpu"}, {"": torch.device("cpu"), "model.language_model": "cpu:0"}):
        assert SpatialPipeline.from_pretrained(janus, device_map=value).target.device.type == "cpu"


def damaged(folder: Path) -> SpatialPipeline:
    pipe = SpatialPipeline.from_pretrained(folder)
    pipe.target.model.blocks[1].down.weight.data.view(-1)[5] = math.nan  # type: ignore[attr-defined]
    return pipe


def test_every_caller_of_the_loop_names_the_damaged_tensor(folder: Path) -> None:
    pipe, method = damaged(folder), Method.parse("spatial")
    target = pipe.target
    request = Request(["a cat"], [3], target.default, target.grid)
    request = Request.of(("a cat",), target.default, target.grid)
    for draw in (
        lambda: pipe("a cat"),
        lambda: trace(pipe, method, request),
        lambda: measure_passes(target, request, lambda task, count: None),
        lambda: measure(target, pipe.drafts, method, request, PassTime({1: 1.0}), lambda name, count: None),
    ):
        with pytest.raises(NotFinite, match=r"^tiny: .*blocks.1.down.weight holds numbers that are not finite"):
            draw()


def test_damaged_picture_decoders_are_named(folder: Path) -> None:
    pipe = SpatialPipeline.from_pretrained(folder)
    request = Request(["a cat"], [3], pipe.target.default, pipe.target.grid)
    watched = trace(pipe, Method.parse("ar"), request)
    name, weight = next((n, w) for n, w in pipe.target.vq.named_parameters() if n == "decoder.5.bias")  # type: ignore[attr-defined]
    weight.data.fill_(math.nan)
    for draw in (lambda: pipe("a cat", method="ar"), lambda: panel(pipe.target, watched)):
        with pytest.raises(NotFinite, match=rf"^tiny: got pixels .*{name} holds"):
            draw()


@pytest.mark.parametrize(("dtype", "advice"), [("fp32", ": fetch the weights again"), ("fp16", "bf16 or fp32")])
def test_advice_fits_the_dtype(folder: Path, dtype: str, advice: str) -> None:
    pipe = SpatialPipeline.from_pretrained(folder, dtype=dtype)
    pipe.target.model.output.weight.data.fill_(torch.finfo(pipe.target.dtype).max)  # type: ignore[attr-defined]
    with pytest.raises(NotFinite) as refused:
        pipe("a cat", method="ar")
    assert advice in str(refused.value) and (dtype != "fp32" or "dtype" not in refused.value.advice)


@pytest.mark.parametrize("document", ['{"a": %s}', '{"prompt": "a", "n": [%s]}', "%s", '{"a": {"b": -%s}}'])
def test_numbers_of_many_digits(document: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_json(document % ("9" * 5000), "file")
    assert refused.value.got == "a document that does not parse (a number of more digits than are read)"


@pytest.mark.parametrize(
    ("name", "text", "got"),
    [
        ("a.csv", "id;prompt\n1;a cat\n", "separated by semicolons"),
        ("a.csv", "sep=;\nid;prompt\n", "a first line 'sep=;'"),
        ("a.csv", "id\tprompt\n1\ta cat\n", "separated by tabs"),
        ("a.tsv", "id,prompt\n1,a cat\n", "separated by commas"),
        ("a.tsv", "id;prompt\n1;a cat\n", "separated by semicolons"),
    ],
)
def test_separators(tmp_path: Path, name: str, text: str, got: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=rf"{got}.* expected .*{'tabs' if name == 'a.tsv' else 'commas'}"):
        read_prompts(tmp_path / name)


def test_a_tokenizer_of_another_model(janus: Path, tmp_path: Path) -> None:
    emu3 = tiny_emu3(tmp_path / "emu3")
    model = transformers.JanusForConditionalGeneration.from_pretrained(janus)
    processor = transformers.JanusProcessor.from_pretrained(janus)
    other = transformers.Emu3Processor.from_pretrained(emu3).tokenizer
    anole = SpatialPipeline.from_pretrained(tiny_chameleon.write_anole(tmp_path / "anole")).target
    own, processor.tokenizer = processor.tokenizer, other
    with pytest.raises(BadInput, match=r"got a tokenizer .*another model's"):
        SpatialPipeline(wrap(model, processor))("a cat")
    for tokenizer in (own, other):
        with pytest.raises(BadInput, match=r"got a tokenizer without <s>.*another model's"):
            ChameleonTarget(anole.model, tokenizer, "anole", anole.vq)  # type: ignore[attr-defined]


def test_recommended_sampling_names_its_folder(tmp_path: Path) -> None:
    folder = tiny_janus(tmp_path / "janus")
    for value in (ESCAPE, -3.0):
        edit(folder / "generation_config.json", temperature=value)
        with pytest.raises(BadInput) as refused:
            SpatialPipeline.from_pretrained(folder)
        assert refused.value.where == str(folder / "generation_config.json") and str(refused.value).isprintable()


def test_no_false_alarms(pipe: SpatialPipeline, folder: Path) -> None:
    for device in ("cpu:0", torch.device("cpu", 0), torch.device("cpu")):
        assert SpatialPipeline.from_pretrained(folder, device=device).target.device == torch.device("cpu")
    for size in (np.array([2, 3]), torch.tensor([2, 3]), (np.int64(2), torch.tensor(3)), [2, 3], "2x3"):
        assert str(arguments.grid(pipe.target, size)) == "2x3"  # type: ignore[arg-type]
    for odd in (np.array([2.0, 3.0]), np.array([2, 3, 4]), np.array(2), torch.tensor([True, True])):
        with pytest.raises(BadInput):
            arguments.grid(pipe.target, odd)  # type: ignore[arg-type]


def test_a_pipeline_says_what_it_is(folder: Path) -> None:
    drafts = "HawkHeads, SSDPredictors"
    said = repr(SpatialPipeline.from_pretrained(folder))
    assert said == f"SpatialPipeline(IconsTarget tiny, cpu, float32, drafts: {drafts})", said
