"""The scene judge: what it asks of an image, planted errors, its training, and scenes in `evaluate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.shapes import SHAPES, cut_outs
from helpers.tiny import call_main, tiny_folder
from spatialspec.drafts import checkpoint
from spatialspec.drafts.image_folder import CaptionedImages, load
from spatialspec.lab.scenes.references import wrong
from spatialspec.lab.scenes.scene_judge import SceneJudgeRecipe, train
from spatialspec.lab.scenes.scenes import compose, make, write_scenes
from spatialspec.quality.scenes.judge import Detection, SceneJudge
from spatialspec.quality.scenes.network import SceneConfig, SceneHead
from spatialspec.quality.scenes.scene import CATEGORIES, COLOURS, Scene, Thing
from spatialspec.quality.scenes.scores import SHIPPED, SceneTest

RECIPE = SceneJudgeRecipe(side=64, hidden=32, epochs=14, batch=16, rate=1e-2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of shapes, and a judge trained on them."""
    where = tmp_path_factory.mktemp("scenes")
    write_scenes(cut_outs(), where / "data", 240, 96, 0, lambda line: None)
    train(load(where / "data"), where / "judge", RECIPE, lambda line: None, where / "cache")
    return where


@pytest.fixture(scope="module")
def judge(folder: Path) -> SceneJudge:
    return SceneJudge.load(folder / "judge")


def thing(concept: str, x: float = 0.5, y: float = 0.5, colour: str = "red", share: float = 0.9) -> Detection:
    concepts = np.full(len(SHAPES), (1 - share) / (len(SHAPES) - 1))
    concepts[SHAPES.index(concept)] = share
    colours = np.eye(len(COLOURS))[COLOURS.index(colour)]
    return Detection(x, y, concepts, colours)


DISC, PLUS = Thing("disc"), Thing("plus")
DISCS = Scene("counting", (DISC,) * 3)
BESIDE, TWO = Scene("position", (DISC, PLUS), "left of"), Scene("two", (DISC, PLUS))
RED_BLUE = Scene("attribution", (Thing("disc", "red"), Thing("plus", "blue")))


@pytest.mark.parametrize(
    ("scene", "found", "holds"),
    [
        (Scene("single", (DISC,)), [], False),
        (Scene("single", (DISC,)), [thing("plus"), thing("disc")], True),
        (TWO, [thing("plus"), thing("disc")], True),
        (TWO, [thing("disc"), thing("disc", 0.1)], False),
        (TWO, [replace(thing("disc"), concepts=np.array([0, 0, 0.5, 0.5]))], False),  # one thing is not two
        (DISCS, [thing("disc", 0.2 * i) for i in range(2)], False),
        (DISCS, [thing("disc", 0.2 * i) for i in range(3)] + [thing("plus")], True),
        (DISCS, [thing("disc", 0.2 * i) for i in range(4)], False),
        (Scene("colours", (Thing("disc", "red"),)), [thing("disc", colour="blue"), thing("plus")], False),
        (Scene("colours", (Thing("disc", "red"),)), [thing("disc")], True),
        (BESIDE, [thing("disc", 0.2), thing("plus", 0.8)], True),
        (BESIDE, [thing("disc", 0.8), thing("plus", 0.2)], False),
        (BESIDE, [thing("disc", 0.5, 0.2), thing("plus", 0.55, 0.8)], False),  # above, not left of
        (RED_BLUE, [thing("disc"), thing("plus", colour="blue")], True),
        (RED_BLUE, [thing("disc", colour="blue"), thing("plus")], False),
    ],
)
def test_what_is_asked_of_a_picture(scene: Scene, found: list[Detection], holds: bool) -> None:
    judge = SceneJudge(SceneHead(SceneConfig(SHAPES, ("flat",))))
    assert judge.holds(scene, found) is holds
    if scene.relation:
        turned = [replace(one, x=one.y, y=one.x) for one in found]
        assert judge.holds(replace(scene, relation="above"), turned) is holds
        assert judge.holds(replace(scene, things=(PLUS, DISC), relation="right of"), found) is holds


def test_own_captions_pass_and_wrong_ones_do_not(folder: Path) -> None:
    figures = json.loads((folder / "judge" / "figures.json").read_text())
    assert set(figures) == {"train", "pair", "style"}
    for name, reference in figures.items():
        own, wrongly = (sum(c["passed"] for c in reference[kind].values()) for kind in ("own", "wrong"))
        total = sum(c["of"] for c in reference["own"].values())
        assert own >= 0.75 * total and wrongly <= 0.25 * total, (name, own, wrongly, total)
    assert all(count["passed"] >= 0.75 * count["of"] for count in figures["train"]["own"].values()), figures["train"]


@pytest.mark.parametrize("planted", CATEGORIES)
def test_a_planted_error_lowers_its_own_category(judge: SceneJudge, planted: str) -> None:
    """Twelve new scenes drawn right, and drawn with another shape, one more or less, another colour, mirrored, or with
    colours swapped: most of the former pass, hardly any of the latter."""
    scenes, right, planned, made = [], [], [], cut_outs()
    for number in range(CATEGORIES.index(planted) + 600, 672, len(CATEGORIES)):
        scene, pixels = make(made, "train", number, 96, seed=0)
        rng = np.random.default_rng(number)
        scenes.append(scene)
        right.append(pixels)
        planned.append(compose(wrong(scene, SHAPES, rng), made.images, 96, rng)[1])
    assert {scene.category for scene in scenes} == {planted} and len(scenes) == 12
    assert judge.shows(np.stack(right), scenes).mean() >= 0.6 and judge.shows(np.stack(planned), scenes).mean() <= 0.2


def test_an_empty_picture_shows_nothing(judge: SceneJudge) -> None:
    assert not judge.shows(np.full((1, 96, 96, 3), 255, np.uint8), [Scene("single", (DISC,))]).any()
    assert judge.shows(np.zeros((0, 96, 96, 3), np.uint8), []).shape == (0,)
    with pytest.raises(ValueError, match="got the concept 'pear'"):
        judge.holds(Scene("single", (Thing("pear"),)), [thing("disc")])


def test_a_stopped_training_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load(folder / "data")
    few = data.select("train")
    part = CaptionedImages(few.pixels[:48], few.rows[:48])
    left_out = data.select("style")
    both = CaptionedImages(np.concatenate([part.pixels, left_out.pixels]), [*part.rows, *left_out.rows])
    recipe = replace(RECIPE, epochs=2)
    whole = train(both, tmp_path / "whole", recipe, lambda line: None, folder / "cache")
    saves, save = [], checkpoint.Checkpoint.save

    def stopping(self: checkpoint.Checkpoint, step: int) -> None:
        save(self, step)
        saves.append(step)
        if len(saves) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("spatialspec.lab.scenes.scene_judge.EVERY", 2)
    monkeypatch.setattr(checkpoint.Checkpoint, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(both, tmp_path / "stopped", recipe, lambda line: None, folder / "cache")
    lines: list[str] = []
    assert train(both, tmp_path / "stopped", recipe, lines.append, folder / "cache") == whole
    assert "resuming at step 2/6" in lines and not [line for line in lines if "maps of" in line], "maps made twice"
    weights = [load_file(tmp_path / name / "scenes.safetensors") for name in ("whole", "stopped")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_from_scenes_to_figures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three commands: scenes, judge, evaluation of a tiny model that draws noise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spatialspec.lab.scenes.cut_outs.read_cut_outs", lambda *_: cut_outs())
    code, out, err = call_main(capsys, "train", "scenes", "--out", "data", "--count", 24)
    assert (code, err) == (0, "") and "wrote data" in out
    code, out, err = call_main(capsys, "train", "scene-judge", "--data", "data", "--out", "new", "--epochs", 1)
    assert (code, err) == (0, "") and "--scenes new" in out
    assert {path.name for path in Path("new").iterdir()} == {
        "README.md", "config.json", "figures.json", "scenes.safetensors", "state"
    }  # fmt: skip
    card = Path("new/README.md").read_text()
    assert "## Figures" in card and "box, cone, disc, plus" in card and "CC0-1.0" in card
    model, judged = tiny_folder(tmp_path / "model"), folder / "judge"
    asked = ["--model", model, "--methods", "ar,ssd:rounds=0", "--limit", 6, "--num-images", 1]
    code, out, err = call_main(capsys, "evaluate", *asked, "--scenes", judged, "--json", "figures.json")
    assert code == 0, err
    document = json.loads(Path("figures.json").read_text())
    assert document["settings"]["scenes"] == str(judged) and document["real"] is None
    real, wrongly = document["real_scenes"], document["wrong_scenes"]
    left_out = [one for name, one in json.loads((judged / "figures.json").read_text()).items() if name != "train"]
    for row, kind in ((real, "own"), (wrongly, "wrong")):
        for category in CATEGORIES:
            passed, of = (sum(one[kind][category][key] for one in left_out) for key in ("passed", "of"))
            assert row[f"scenes_{category}"] == pytest.approx(passed / of)
    assert real["images"] == wrongly["images"] == 72 and real["scenes"] > 0.7 > 0.3 > wrongly["scenes"]
    ar, ssd = document["methods"]
    for row in (ar, ssd, real, wrongly):
        shares = [row[f"scenes_{category}"] for category in CATEGORIES]
        assert row["scenes"] == pytest.approx(np.mean(shares)) and all(0 <= share <= 1 for share in shares)
        assert all(f"scenes_{category}" in row["intervals"] for category in CATEGORIES)
    assert ar["scenes"] < 0.3, "noise is no scene"
    assert ssd["minus_ar"]["scenes_two"]["value"] == ssd["scenes_two"] - ar["scenes_two"] and not ar["minus_ar"]
    table = out[out.index("share of images") :].splitlines()
    assert table[1].split() == ["method", *CATEGORIES, "all"]
    assert [line[:14].strip() for line in table[2:]] == ["ar", "ssd:rounds=0", "real scenes", "wrong captions"]


@pytest.mark.skipif(not (SHIPPED / "config.json").is_file(), reason="the judge is not in this checkout")
def test_the_shipped_judge_is_small_and_good() -> None:
    test = SceneTest("icons", 12)
    assert (SHIPPED / "scenes.safetensors").stat().st_size < 2_000_000
    for category in CATEGORIES:
        assert getattr(test.own, f"scenes_{category}") > 0.8 > 0.1 > getattr(test.wrong, f"scenes_{category}")


def test_scenes_are_the_prompts(folder: Path) -> None:
    test = SceneTest(str(folder / "judge"), 8)
    assert len(test.prompts) == 8 and test.prompts[:6] == SceneTest(str(folder / "judge"), 6).prompts
    assert [test.of("scenes_two", prompt) for prompt in test.prompts] == [False, True, *[False] * 5, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--scenes", "nowhere"], "got --scenes nowhere, expected icons or the folder"),
        (["evaluate", "--scenes", "judge", "--prompts", "a.txt"], "expected one of them"),
        (["evaluate", "--scenes", "damaged"], "damaged file"),
        (["evaluate", "--scenes", "bare"], "figures.json"),
        (["evaluate", "--scenes", "foreign"], "concepts: got"),
        (["train", "scenes", "--count", "0"], "--count 0"),
        (["train", "scenes", "--side", "97"], "multiple of 4"),
        (["train", "scenes", "--out", "file"], "--out file"),
        (["train", "scene-judge", "--data", "none"], "metadata.csv"),
        (["train", "scene-judge", "--data", "icons"], "column scene"),
        (["train", "scene-judge", "--epochs", "0"], "--epochs 0"),
    ],
)
def test_bad_input(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    SceneJudge.load(folder / "judge").save(Path("bare"))
    for name in ("damaged", "foreign"):
        SceneJudge.load(folder / "judge").save(Path(name))
    Path("damaged/scenes.safetensors").write_bytes(b"no weights")
    config = json.loads(Path("foreign/config.json").read_text())
    Path("foreign/config.json").write_text(json.dumps(config | {"concepts": "disc"}))
    write_icons(Path("icons"))
    monkeypatch.setattr("spatialspec.quality.measuring.draw", lambda *_: pytest.fail("something was computed"))
    code, out, err = call_main(
        capsys, *arguments, *(["--model", tiny_folder(Path("model"))] if arguments[0] == "evaluate" else [])
    )
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err


def write_icons(folder: Path) -> None:
    """Images of things that are no scenes."""
    write_scenes(cut_outs(), folder, 6, 32, 0, lambda line: None)
    lines = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join([lines[0].replace("scene", "remark"), *lines[1:]]) + "\n")
