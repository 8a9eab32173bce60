"""Numbers that cannot be meant: one sentence, before memory or time is spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny import call_main, tiny_folder, write_pictures
from spatialspec.core.errors import BadInput
from spatialspec.drafts import limits
from spatialspec.drafts.recipes import Recipe
from spatialspec.lab.icons import target_recipe
from spatialspec.lab.icons.judge import JudgeRecipe
from spatialspec.lab.icons.sketch import SketchRecipe
from spatialspec.lab.icons.target_recipe import Stage, TargetRecipe, check_room, parse_stages
from spatialspec.lab.icons.tokenizer import TokenizerRecipe
from spatialspec.lab.scenes.scene_judge import SceneJudgeRecipe
from spatialspec.targets.icons.transformer import GridTransformerConfig

DIGITS = "9" * 5000
RECIPES: list[tuple[type[Any], tuple[str, ...]]] = [
    (TokenizerRecipe, ("steps", "batch", "crop", "peak_rate", "beta")),
    (SketchRecipe, ("steps", "batch", "rate", "warmup", "fall")),
    (TargetRecipe, ("muon_rate", "adam_rate", "warmup", "fall", "noise", "drop")),
    (JudgeRecipe, ("epochs", "batch", "rate", "dropout", "wordings")),
    (SceneJudgeRecipe, ("side", "hidden", "epochs", "batch", "rate", "dropout")),
    (Recipe, ("steps", "batch", "peak_rate", "evaluate_every", "save_every")),
]


@pytest.mark.parametrize(
    "value", [-1, float("nan"), float("inf"), 2**31 * 1.5, True, "x", None, [1], 10**5000], ids=range(9)
)
def test_recipes_refuse_what_is_no_number_of_theirs(value: Any) -> None:
    for kind, names in RECIPES:
        for name in names:
            if name in ("beta", "rate", "peak_rate", "muon_rate", "adam_rate") and value == 2**31 * 1.5:
                continue  # a rate may be any number
            with pytest.raises(BadInput, match="expected"):
                replace(kind(), **{name: value})


@pytest.mark.parametrize(
    "text",
    ["", ",", "2:2", "2:2:1:1", "0:1:1", "2:-1:1", "a:b:c", "257:1:1", "999999999:1:1", "2:4294967296:1", "2:2:1,",
     f"{DIGITS}:1:1", f"2:{DIGITS}:1", "2:2:1.5", "2:nan:1"],
)  # fmt: skip
def test_stages(text: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_stages(text)
    assert len(str(error.value)) < 300


def test_room_is_found_out_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory", lambda: 8 << 30)
    assert target_recipe.check_memory is limits.check_memory
    check_room(GridTransformerConfig(), TargetRecipe(), 4)
    for config, recipe in (
        (GridTransformerConfig(width=2**20, heads=4), TargetRecipe()),
        (GridTransformerConfig(layers=10**6), TargetRecipe()),
        (GridTransformerConfig(), TargetRecipe((Stage(256, 2**20, 1),))),
    ):
        with pytest.raises(BadInput, match=r"at least .* GB, expected at most 8\.6 GB of memory"):
            check_room(config, recipe, 4)
    monkeypatch.setattr(limits, "memory", lambda: None)
    check_room(GridTransformerConfig(layers=10**6), TargetRecipe(), 4)


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("tokenizer", "--batch", "2147483647"),
        ("tokenizer", "--batch", DIGITS),
        ("target", "--words", "2147483647"),
        ("target", "--guidance", "nan"),
        ("target", "--temperature", "inf"),
        ("scenes", "--count", "2147483647"),
        ("scenes", "--side", "18"),
        ("draft", "--batch", "2147483647"),
        ("draft", "--horizontal", "2147483647"),
        ("draft", "--pictures", "2147483648"),
        ("ssd", "--pictures", "2147483647"),
        ("ssd", "--lambda", "nan"),
    ],
)
def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, option: str, value: str) -> None:
    write_pictures(tmp_path / "data")
    (tmp_path / "prompts.txt").write_text("a cat\na dog\n")
    words: dict[str, list[object]] = {
        "tokenizer": ["tokenizer", "--data", tmp_path / "data"],
        "target": ["target", "--data", tmp_path / "data"],
        "scenes": ["scenes"],
        "draft": ["draft", "--data", tmp_path / "data"],
        "ssd": ["draft", "--drafter", "ssd", "--self-distil", tmp_path / "prompts.txt"],
    }
    asked = words[command]
    if asked[0] == "draft":
        asked += ["--target", tiny_folder(tmp_path / "model")]
    code, _, error = call_main(capsys, "train", *asked, "--out", tmp_path / "out", f"{option}={value}")
    assert code == 2 and error.startswith("error: got") and len(error) < 400
