"""What cards of drafts say: the command as it was typed, the images that were used, whose they are, the machine."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.tiny import call_main, tiny_folder, write_pictures
from spatialspec.drafts import card
from spatialspec.drafts.draft import accelerator
from spatialspec.drafts.image_folder import CaptionedImages

SHIPPED = {"style": "3d", "licence": "MIT", "concept": "cat"}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run `train draft` in a folder with a target, images of `train data` and images of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("spatialspec.drafts.task.HELD_OUT", 2)
    tiny_folder(Path("target"))
    write_pictures(Path("pictures"))
    Path("mine").mkdir()
    rows = ["file_name,text,style,licence"]
    for i, licence in enumerate(["CC0", "CC0", "", "CC0", "CC0"]):
        Image.new("RGB", (9, 9), (50 * i, 9, 9)).save(Path("mine") / f"{i}.png")
        rows.append(f"{i}.png,thing {i},3d,{licence}")
    (Path("mine") / "metadata.csv").write_text("\n".join(rows))
    return partial(call_main, capsys, "train", "draft", "--target", "target", "--steps", 1, "--batch", 1)


def card_of(call, *options: object) -> str:
    code, _, err = call(*options, "--out", "made")
    assert (code, err) == (0, ""), err
    return Path("made/README.md").read_text()


def test_own_pictures_are_counted_by_licence_and_nothing_is_said_of_that_of_the_weights(call) -> None:
    card = card_of(call, "--data", "mine", "--pictures", 2)
    assert "\nlicense" not in card and "no licence is set here: their maker decides" in card
    assert "3 images of the maker's own, by the licence that their table states:\n\n- CC0 " in card
    assert "fluent" not in card and "emojibase" not in card
    assert "target in float32 on cpu, number of processes 1" in card


def test_pictures_that_were_not_used_are_not_credited(call) -> None:
    table = Path("pictures/metadata.csv")
    table.write_text(table.read_text().replace("thing 3,3d,concept,MIT", "thing 3,noto,concept,Apache-2.0"))
    card = card_of(call, "--data", "pictures", "--pictures", 2)
    assert "license: apache-2.0" in card and "Weights: Apache-2.0." in card
    assert "3 renderings, on white, of these packages:" in card and "fluent-emoji-3d" in card
    assert "noto" not in card, "the images of the split concept are not used"


def test_pictures_drawn_of_captions_are_no_pictures_of_the_folder(call) -> None:
    card = card_of(call, "--drafter", "ssd", "--data", "mine", "--pictures", 3, "--features", "states", "--seed", 1)
    assert re.search(
        r"5 images that the target drew itself, of captions of [1-5] images of the maker's own, by the li", card
    )
    assert "3 images that the target drew itself; " in card and "real images" not in card
    assert "\nlicense" not in card
    said = "spatialspec train draft --target target --drafter ssd --data mine --out made --pictures 3"
    assert f"    {said} --features states --steps 1 --batch 1 --seed 1\n" in card
    card = card_of(call, "--drafter", "ssd", "--data", "pictures", "--pictures", 3)
    assert "that are renderings of these packages:" in card and "license: apache-2.0" in card


def test_prompts_of_a_file_are_their_makers(call) -> None:
    Path("prompts.txt").write_text("a cat\na dog\nred apple\ntree\nhouse\n")
    card = card_of(call, "--self-distil", "prompts.txt", "--pictures", 2)
    assert "drew itself, of 3 prompts in a file" in card and "\nlicense" not in card


def test_a_data_set_of_the_hub_is_named(call, monkeypatch: pytest.MonkeyPatch) -> None:
    found = CaptionedImages(
        np.zeros((3, 24, 24, 3), dtype=np.uint8), [{"text": f"a {i}", "licence": "MIT"} for i in range(3)]
    )
    monkeypatch.setattr("spatialspec.drafts.hub.read_dataset", lambda *_: found)
    assert "3 images of the data set me/mine on the Hub, by the lic" in card_of(call, "--data", "hub:me/mine")
    card = card_of(call, "--data", "hub:me/mine", "--drafter", "ssd", "--pictures", 1)
    assert "in the data set me/mine on the Hub" in card and "- MIT " in card


def test_which_tables_are_those_of_the_package() -> None:
    assert card.of_images([SHIPPED]).shipped and card.of_captions([SHIPPED, SHIPPED]).shipped
    for other in ({"concept": ""}, {"licence": ""}, {"licence": "CC0"}, {"style": "drawn"}):
        row = {**SHIPPED, **other}
        assert card.of_images([SHIPPED, row]).shipped == ("concept" in other)
    assert not card.of_images([{"style": "3d", "licence": "MIT"}]).shipped


def test_a_split_target_is_loaded_on_the_cpu(call, monkeypatch: pytest.MonkeyPatch) -> None:
    places = []

    def load(folder: Path, device: str, dtype: torch.dtype) -> None:
        places.append((device, dtype))
        raise ValueError("seen")

    made = SimpleNamespace(device=torch.device("meta"), is_main_process=True)
    monkeypatch.setattr("spatialspec.drafts.draft.accelerator", lambda *_: made)
    monkeypatch.setattr("spatialspec.targets.loading.load_target", load)
    for options in ([], ["--shard-target"]):
        assert call(*options, "--data", "mine")[2] == "error: seen\n"
    assert places == [("meta", torch.bfloat16), ("cpu", torch.bfloat16)]


def test_a_configuration_of_accelerate_changes_no_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    try:
        made = accelerator(None, tmp_path)
        assert made.mixed_precision == "no" and made.gradient_accumulation_steps == 1
    finally:
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
