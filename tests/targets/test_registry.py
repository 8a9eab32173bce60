"""Kinds of targets by name: the first that matches is taken, and what is no kind is refused."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from spatialspec import BadInput, SpatialPipeline, TargetKind, plugins, register
from spatialspec.targets.loading import kind_of, load_target, wrap
from spatialspec.targets.registry import LUMINA, REGISTRY


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "named", REGISTRY.all())


def loaded(*given: object) -> Any:
    raise BadInput(f"{given[1:]}", "nothing")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"transformer": {}, "model_type": "janus"}, "icons"),
        ({"model_type": "janus"}, "janus"),
        ({"model_type": "emu3", "architectures": None}, "emu3"),
        ({"model_type": "chameleon", "architectures": ["ChameleonForConditionalGeneration"]}, "chameleon"),
        ({"model_type": "chameleon", "architectures": [LUMINA]}, "lumina_mgpt"),
        ({"model_type": "lumina_mgpt"}, "lumina_mgpt"),
        ({"model_type": "chameleon", "architectures": [LUMINA], "vocab_size": 65_536}, "lumina_mgpt"),
        ({"model_type": "chameleon", "architectures": [LUMINA], "vocab_size": 171_384}, "lumina_mgpt_2"),
        ({"model_type": "chameleon", "architectures": None, "vocab_size": "171384"}, "chameleon"),
        ({"model_type": "llamagen"}, "llamagen"),
    ],
)
def test_the_kinds_of_the_package(config: dict[str, object], name: str) -> None:
    assert kind_of(config).name == name
    register(TargetKind("greedy", lambda config: True, loaded))
    assert kind_of(config).name == name, "they are asked first"
    assert kind_of({"model_type": "other"}).name == "greedy"


def test_a_kind_is_registered_once(tmp_path: Path) -> None:
    mine = TargetKind("mine", lambda config: config.get("model_type") == "mine", loaded)
    with pytest.raises(BadInput, match=r"got model_type 'mine' in .*, expected one of icons, .*--plugin"):
        kind_of({"model_type": "mine"})
    assert register(mine) is mine is register(mine) is kind_of({"model_type": "mine"})
    with pytest.raises(BadInput, match="register: got a second TargetKind 'janus', expected a name of its own"):
        register(TargetKind("janus", lambda config: True, loaded))
    with pytest.raises(BadInput, match="register: got a int, expected a Method, a DraftKind or a TargetKind"):
        register(3)  # type: ignore[type-var]
    (tmp_path / "config.json").write_text('{"model_type": "mine"}')
    with pytest.raises(BadInput, match=r"\('cpu', torch.float32, None\)"):
        load_target(tmp_path)
    with pytest.raises(BadInput, match=r"\('cpu', torch.bfloat16, 'auto'\)"):
        SpatialPipeline.from_pretrained(tmp_path, dtype="bf16", device_map="auto")


def test_a_loaded_model_of_a_kind_of_ones_own() -> None:
    """`wrap` takes it where its kind has a way, and names the other way where not."""
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=1, num_key_value_heads=1)).train()
    with pytest.raises(BadInput, match="model_type 'llama'"):
        wrap(model, None)
    register(TargetKind("folders", lambda config: config.get("architectures") == ["Folders"], loaded))
    register(TargetKind("llama", lambda config: config["model_type"] == "llama", loaded, lambda *given: given))  # type: ignore[arg-type, return-value]
    assert wrap(model, "words") == (model, "words", "llama") and not model.training
    model.config.architectures = ["Folders"]
    with pytest.raises(BadInput, match="got a loaded model of kind folders, expected its folder"):
        wrap(model, None)


@pytest.mark.parametrize(
    ("where", "message"),
    [("json:dumps", "got a function, expected a TargetKind"), ("spatialspec.methods.ar:METHOD", "got a Method, exp")],
)
def test_entry_points_that_are_no_kinds_are_named(where: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [EntryPoint("mine", where, REGISTRY.group)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == "spatialspec.targets" else [])
    monkeypatch.setattr(REGISTRY, "complete", False)
    with pytest.raises(BadInput, match=f"entry point mine of spatialspec.targets: {message}"):
        kind_of({"model_type": "janus"})
