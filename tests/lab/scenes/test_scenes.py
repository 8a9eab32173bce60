"""Scenes: captions, records, composing, and the folder that a target and a judge are trained on."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.shapes import SHAPES, cut_outs
from helpers.tiny import call_main
from spatialspec.drafts.image_folder import load
from spatialspec.lab.icons.sources import Drawing
from spatialspec.lab.scenes import cut_outs as cut_outs_module
from spatialspec.lab.scenes.cut_outs import PALETTE, read_cut_outs, tint
from spatialspec.lab.scenes.records import read_record, write_record
from spatialspec.lab.scenes.references import wrong
from spatialspec.lab.scenes.scenes import COLUMNS, SPLITS, compose, make, write_scenes
from spatialspec.quality.scenes.scene import CATEGORIES, COLOURS, RELATIONS, Scene, Thing, ask, plural, prompts
from spatialspec.targets.icons.sources import SOURCES

PEAR, AXE = Thing("pear"), Thing("axe")
CAPTIONS = {
    "a pear": Scene("single", (PEAR,)),
    "a pear and an axe": Scene("two", (PEAR, AXE)),
    "three pears": Scene("counting", (PEAR,) * 3),
    "an orange pear": Scene("colours", (Thing("pear", "orange"),)),
    "an axe left of a pear": Scene("position", (AXE, PEAR), "left of"),
    "a red pear and a blue axe": Scene("attribution", (Thing("pear", "red"), Thing("axe", "blue"))),
}


def test_captions() -> None:
    assert [scene.caption for scene in CAPTIONS.values()] == list(CAPTIONS)
    assert [scene.category for scene in CAPTIONS.values()] == list(CATEGORIES)
    assert Scene("single", (AXE,), style="3d").prompt == "an axe, 3d"
    names = ["mouse", "factory", "key", "torch", "potato", "box", "bat"]
    assert [plural(n) for n in names] == ["mice", "factories", "keys", "torches", "potatoes", "boxes", "bats"]


def test_things_that_never_fit_end_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spatialspec.lab.scenes.scenes._place", lambda *_: (0, 0, 9, 9))  # each on top of the other
    images = {(thing.concept, "3d"): Image.new("RGBA", (9, 9)) for thing in (PEAR, AXE)}
    with pytest.raises(ValueError, match="got 'a pear and an axe' on 48 pixels, expected room for it"):
        compose(Scene("two", (PEAR, AXE), style="3d"), images, 48, np.random.default_rng(0))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_record_is_read_as_it_was_written(category: str) -> None:
    asked = ask(category, SHAPES, "flat", np.random.default_rng(3))
    images = {(shape, "flat"): Image.new("RGBA", (20, 10), (9, 9, 9, 255)) for shape in SHAPES}
    scene, _ = compose(asked, images, 96, np.random.default_rng(0))
    for one in (asked, scene):
        assert read_record(write_record(one)) == one and "\n" not in write_record(one)
    assert json.loads(write_record(scene))["caption"] == scene.caption


def changed(**values: object) -> str:
    return json.dumps(json.loads(write_record(CAPTIONS["a red pear and a blue axe"])) | values)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", changed(caption="a red pear and a green axe"), changed(category="position"),
        changed(relation="above"), changed(things=[]), changed(things=[{"concept": "pear"}]),
        changed(category="paint"), changed(relation=["above"]),
        write_record(CAPTIONS["a pear"]).replace("null", "[0.5, 0, 0.2, 1]", 2),
        write_record(CAPTIONS["an orange pear"]).replace("orange", "mauve"),
    ],
)  # fmt: skip
def test_damaged_records_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a scene") as error:
        read_record(text)
    assert "\n" not in str(error.value)


def test_prompts_take_turns_and_repeat() -> None:
    scenes = prompts(SHAPES, ["flat", "noto"], 60)
    assert [scene.category for scene in scenes] == list(CATEGORIES) * 10
    assert scenes[:7] == prompts(SHAPES, ["flat", "noto"], 7) and scenes != prompts(
        SHAPES, ["flat", "noto"], 60, seed=1
    )
    assert {len(scene.things) for scene in scenes if scene.category == "counting"} == {2, 3, 4}
    assert {scene.relation for scene in scenes} == {"", *RELATIONS} and {s.style for s in scenes} == {"flat", "noto"}


def test_wrong_captions_are_wrong_in_one_point() -> None:
    for number, scene in enumerate(CAPTIONS.values()):
        for seed in range(8):
            other = wrong(scene, ["pear", "axe", "key"], np.random.default_rng((number, seed)))
            assert read_record(write_record(other)) == other and other.category == scene.category
            mine, theirs = [(t.concept, t.colour) for t in scene.things], [(t.concept, t.colour) for t in other.things]
            if scene.category == "counting":
                assert set(mine) == set(theirs) and abs(len(mine) - len(theirs)) == 1
            elif scene.category == "position":
                assert mine == theirs and (scene.relation, other.relation) == ("left of", "right of")
            elif scene.category == "attribution":
                assert theirs == [("pear", "blue"), ("axe", "red")]
            else:
                assert sum(a != b for a, b in zip(mine, theirs, strict=True)) == 1
                assert (mine[0][0] == theirs[0][0]) or scene.category != "colours"


def test_scenes_are_what_they_say() -> None:
    """Boxes hold all that is drawn, do not overlap, lie as the caption says; a tint is nearest to its own colour."""
    palette = np.array([PALETTE[colour] for colour in COLOURS], dtype=float)
    made = cut_outs()
    for number in range(60):
        scene, pixels = make(made, "train", number, 96, seed=5)
        boxes = [tuple(round(96 * edge) for edge in thing.box) for thing in scene.things]
        left = pixels.copy()
        for thing, (x0, y0, x1, y1) in zip(scene.things, boxes, strict=True):
            inside = pixels[y0:y1, x0:x1]
            assert (inside < 250).any(-1).mean() > 0.3, "the box is empty"
            assert (left[y0:y1, x0:x1] == inside).all(), "two boxes overlap"
            left[y0:y1, x0:x1] = 255
            if thing.colour is not None:
                middle = np.median(inside[(inside < 250).any(-1)], axis=0)
                assert COLOURS[int(((palette - middle) ** 2).sum(1).argmin())] == thing.colour
        assert (left == 255).all(), "something is drawn outside the boxes"
        if scene.relation:
            (x, y), (u, v) = (((a + c) / 2, (b + d) / 2) for a, b, c, d in boxes)
            along = {"left of": u - x, "right of": x - u, "above": v - y, "below": y - v}[scene.relation]
            assert along >= 2 * (abs(y - v) if "of" in scene.relation else abs(x - u)) and along > 0


def test_a_scene_depends_on_seed_and_number_alone() -> None:
    first, pixels = make(cut_outs(), "style", 7, 96, seed=1)
    again, same = make(cut_outs(), "style", 7, 96, seed=1)
    assert first == again and (pixels == same).all()
    others = [make(cut_outs(), *rest) for rest in (("style", 7, 96, 2), ("style", 13, 96, 1), ("train", 7, 96, 1))]
    assert all(scene != first for scene, _ in others)


def test_a_tint_keeps_shape_and_shade() -> None:
    image = Image.new("RGBA", (9, 9), (40, 40, 40, 255))
    image.paste((220, 220, 220, 255), (0, 0, 9, 3))
    image.putpixel((8, 8), (0, 0, 0, 0))
    red = np.asarray(tint(image, "red")).astype(int)
    assert red[8, 8, 3] == 0 and red[0, 0].sum() > red[5, 5].sum() and (red[..., 0] > red[..., 1] + 80).all()


def test_the_folder(tmp_path: Path) -> None:
    lines: list[str] = []
    splits = write_scenes(cut_outs(), tmp_path / "scenes", 24, 96, 0, lines.append)
    assert dict(splits) == {"train": 24, "pair": 4, "style": 4} and len(lines) == 3
    data = load(tmp_path / "scenes")
    assert len(data.rows) == 32 and tuple(data.rows[0]) == COLUMNS and data.pixels.shape[1:] == (96, 96, 3)
    for row in data.rows:
        scene = read_record(row["scene"])
        assert (scene.caption, scene.style, scene.category) == (row["text"], row["style"], row["category"])
    drawings: dict[str, set[tuple[str, str]]] = {split: set() for split in SPLITS}
    for row in data.rows:
        drawings[row["split"]] |= {(thing.concept, row["style"]) for thing in read_record(row["scene"]).things}
    assert not drawings["train"] & (drawings["pair"] | drawings["style"]), "a left-out drawing is learned"
    before = {path.name: path.read_bytes() for path in (tmp_path / "scenes").iterdir()}
    write_scenes(cut_outs(), tmp_path / "scenes", 24, 96, 0, lines.append)
    assert {path.name: path.read_bytes() for path in (tmp_path / "scenes").iterdir()} == before


def picture(concept: str, style: str) -> Drawing:
    buffer = io.BytesIO()
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((200, 30, 30, 255), (10, 20, 40, 60))
    image.save(buffer, "PNG")
    return Drawing(f"{style}-{concept}", concept, (), concept, style, "MIT", raster=buffer.getvalue())


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sources that hold a few concepts, some of which the rule leaves out."""
    groups = {"pear": 4, "axe": 7, "keys": 7, "red apple": 4, "man": 1, "tiger": 3, "lamp": 7}
    folder = tmp_path / "labels" / "package" / "en"
    folder.mkdir(parents=True)
    rows = [{"label": name, "hexcode": f"1f{i}", "group": group} for i, (name, group) in enumerate(groups.items())]
    (folder / "data.json").write_text(json.dumps([*rows, {"label": "a letter", "hexcode": "1f9"}]))
    monkeypatch.setattr(cut_outs_module, "fetch", lambda source, cache: tmp_path / "labels")
    there = {source: [c for c in groups if c != "lamp" or source != SOURCES[0]] for source in SOURCES}
    monkeypatch.setattr(
        cut_outs_module, "drawings", lambda source, *_: (picture(c, source.style) for c in there[source])
    )


def test_the_vocabulary_is_a_rule(packages: None, tmp_path: Path) -> None:
    made = read_cut_outs(tmp_path, 96, lambda line: None)
    assert made.concepts == ["axe", "pear", "tiger"], "one word, a thing, no plural, in every style"
    image = made.images["pear", SOURCES[0].style]
    assert image.mode == "RGBA" and abs(image.width / image.height - 30 / 40) < 0.05, "cropped to what is drawn"


def test_a_folder_without_left_out_drawings_is_refused(
    packages: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call_main(capsys, "train", "scenes", "--out", tmp_path / "out", "--count", 6, "--cache", tmp_path)
    assert code == 2 and err.count("\n") == 1 and "two drawings of the split pair" in err
    assert not list((tmp_path / "out").iterdir()), "something was written"
