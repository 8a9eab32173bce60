"""Published prompt lists, and images in the layouts of their scorers."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from spatialspec.io.prompts import read_prompts
from spatialspec.quality.prompt_sets import NAMED, PromptSet, check_count, export, export_table, find, grid, published

LINES = [
    '{"tag": "counting", "include": [{"class": "cat", "count": 2}], "prompt": "a photo of two cats"}',
    '{"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"}',
]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_geneval(tmp_path):
    found = published(write(tmp_path / "evaluation_metadata.jsonl", "\n".join(LINES) + "\n"))
    assert found.kind == "geneval" and found.prompts == ("a photo of two cats", "a photo of a bench")
    assert found.names == ("00000", "00001") and found.lines == tuple(LINES)
    assert found.first(1) == PromptSet("geneval", found.prompts[:1], ("00000",), (LINES[0],))
    assert published(write(tmp_path / "own.jsonl", '{"prompt": "a cat"}\n')) is None


def test_dpg(tmp_path):
    rows = "item_id,text,keywords,proposition_id\npartiprompts9,a cat,x,1\npartiprompts9,a cat,x,2\n3,a dog,x,1\n"
    for name, text in (("a.csv", rows), ("b.csv", "id,prompt\npartiprompts9,a cat\n3,a dog\n")):
        found = published(write(tmp_path / name, text))
        assert (found.kind, found.prompts, found.names) == ("dpg", ("a cat", "a dog"), ("partiprompts9", "3"))
    (tmp_path / "prompts").mkdir()
    write(tmp_path / "prompts" / "3.txt", "a dog\n")
    assert published(tmp_path / "prompts") == PromptSet("dpg", ("a dog",), ("3",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected the prompts of DPG-Bench"):
        published(tmp_path / "empty")


def test_parti_and_coco(tmp_path):
    parti = write(tmp_path / "PartiPrompts.tsv", "Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\tx\n")
    assert published(parti) is None and read_prompts(parti) == ["bond"]
    table = write(tmp_path / "coco.csv", "Prompt\nA dog.\n")
    assert published(table) is None and read_prompts(table) == ["A dog."]
    rows = [{"image_id": 9, "id": 1, "caption": "A dog."}, {"image_id": 9, "id": 2, "caption": "Again."}]
    found = published(write(tmp_path / "captions.json", json.dumps({"annotations": rows})))
    assert found == PromptSet("list", ("A dog.",), ("000000000009",))
    for text in ("{}", "[1]", "{"):
        with pytest.raises(ValueError, match="captions"):
            published(write(tmp_path / "captions.json", text))


def test_lists_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (lists := tmp_path / "lists").mkdir()
    for name, files in NAMED.items():
        for folder in (None, tmp_path / "nowhere", lists):
            monkeypatch.delenv("SPATIALSPEC_PROMPTS", raising=False)
            if folder is not None:
                monkeypatch.setenv("SPATIALSPEC_PROMPTS", str(folder))
            with pytest.raises(
                ValueError, match=f"got --prompts {name} .* folder with {files[0]} or .*put the list there"
            ):
                find(Path(name))
    write(lists / "geneval.jsonl", "\n".join(LINES) + "\n")
    write(lists / "dpg_bench.csv", "id,prompt\n3,a dog\n")
    write(lists / "partiprompts.tsv", "Prompt\tCategory\nbond\tAbstract\n")
    write(lists / "coco_captions_5k.csv", "Prompt\nA dog.\n")
    assert published(find(Path("geneval"))).kind == "geneval" and published(find(Path("dpg-bench"))).kind == "dpg"
    assert [read_prompts(find(Path(name))) for name in ("partiprompts", "coco")] == [["bond"], ["A dog."]]
    write(lists / "evaluation_metadata.jsonl", LINES[0] + "\n")
    assert find(Path("geneval")).name == "evaluation_metadata.jsonl", "the authors' own name first"
    assert find(Path("own.txt")) == Path("own.txt")
    (tmp_path / "coco").mkdir()
    assert find(Path("coco")) == Path("coco"), "what is there is taken as it is"


def picture(shade: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (shade, 0, 0))


def test_layout_of_geneval(tmp_path):
    prompts = PromptSet("geneval", ("two cats", "a bench"), ("00000", "00001"), tuple(LINES))
    for place in (0, 1):
        export(tmp_path, prompts, place, [picture(place), picture(9)])
    export_table(tmp_path, prompts, 2)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    each = ["metadata.jsonl", "samples/0000.png", "samples/0001.png"]
    assert files == [f"{folder}/{name}" for folder in ("00000", "00001") for name in each]
    with (tmp_path / "00001" / "metadata.jsonl").open() as file:
        assert json.load(file)["include"] == [{"class": "bench", "count": 1}], "read as the scorer reads it"


def test_layout_of_dpg(tmp_path):
    prompts = PromptSet("dpg", ("a cat",), ("partiprompts9",))
    export(tmp_path, prompts, 0, [picture(i) for i in (10, 20, 30, 40)])
    (file,) = tmp_path.iterdir()
    sheet = Image.open(file)
    assert file.name == "partiprompts9.png" and sheet.size == (16, 16)
    assert [sheet.getpixel(at)[0] for at in ((0, 0), (8, 0), (0, 8), (8, 8))] == [10, 20, 30, 40], "as it crops them"
    assert grid([picture(5)]).size == (8, 8)
    check_count("dpg", 4)
    check_count("list", 3)
    with pytest.raises(ValueError, match="expected 1 or 4"):
        check_count("dpg", 3)


def test_layout_of_others(tmp_path):
    prompts = PromptSet.plain(["a cat", 'a "red", dog'])
    for place in (0, 1):
        export(tmp_path, prompts, place, [picture(1), picture(2)])
    export_table(tmp_path, prompts, 2)
    with (tmp_path / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["a cat", "a cat", 'a "red", dog', 'a "red", dog']
    assert all((tmp_path / row["file_name"]).is_file() for row in rows)
    assert len(list(tmp_path.iterdir())) == 5, "nothing half written is left"
