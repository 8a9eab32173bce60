"""Traces, the page made of them, and the page in a real browser."""

import json
import re
from dataclasses import replace

import pytest

from helpers.browser import CHROMIUM, DRIVER, END, HOME, LEFT, MISSING, RIGHT, TAB, browser
from helpers.tiny import call_main, tiny_folder, tiny_pipeline
from spatialspec.generation import generate
from spatialspec.methods.method import Method
from spatialspec.request import Request
from spatialspec.show import page as page_module
from spatialspec.show.page import page, panel
from spatialspec.show.trace import FATES, WRITERS, trace

METHODS = ["ar", "hawk", "medusa", "hawk-vertical", "spatial", "jacobi", "ssd:rounds=1", "ssd:rounds=0", "mtp"]
METHODS += ["sjd", "scd", "zipar", "pjd", "lantern"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("tiny"))


def watch(pipeline, method: str, seed: int = 3):
    request = Request(["a cat"], [seed], pipeline.target.default, pipeline.target.grid)
    return trace(pipeline, Method.parse(method), request), request


@pytest.mark.parametrize("method", METHODS)
def test_watching_changes_nothing_and_misses_nothing(pipeline, method):
    watched, request = watch(pipeline, method)
    (tokens,), report = generate(pipeline.target, pipeline.drafts, Method.parse(method), request)
    assert watched.tokens == tokens and len(watched.passes) == report.target_passes
    assert sum(p.slots for p in watched.passes) == pytest.approx(report.tokens_per_pass * report.target_passes)
    assert len(watched.cells) == 36
    for cell in watched.cells:
        assert 1 <= cell.written_in <= len(watched.passes) and 1 <= cell.scored <= cell.written_in
        assert (cell.writer == "target") == (cell.fate != "accepted")
        assert 0 <= cell.entropy <= 4.16 and (cell.distance is None or 0 <= cell.distance <= 1 + 1e-5)


def test_who_wrote_what(pipeline):
    writers = {method: {cell.writer for cell in watch(pipeline, method)[0].cells} for method in METHODS}
    assert writers["ar"] == writers["zipar"] == {"target"}
    assert writers["medusa"] <= {"target", "horizontal"} and writers["hawk-vertical"] <= {"target", "vertical"}
    assert "refined" in writers["ssd:rounds=1"] and "refined" in writers["jacobi"]
    assert "vertical" not in writers["mtp"] and "vertical" not in writers["sjd"]
    ar, ssd = watch(pipeline, "ar")[0], watch(pipeline, "ssd:rounds=0")[0]
    assert [cell.written_in for cell in ar.cells] == list(range(1, 37))
    assert {cell.writer for cell in ssd.cells[6:]} == {"vertical"}, "no round, nothing refined"
    assert {cell.writer for cell in ssd.cells[1:6]} <= {"horizontal", "refined"}, "row 0 always has a round"


def test_entropy_and_distance_are_the_targets(pipeline):
    """A seed-exact method meets the distributions of AR; a draft drawn from p is at distance 0."""
    ar, hawk = watch(pipeline, "ar")[0], watch(pipeline, "hawk")[0]
    assert [c.entropy for c in hawk.cells] == pytest.approx([c.entropy for c in ar.cells], abs=1e-3)
    far = [c.distance for c in hawk.cells if c.distance is not None]
    assert far and min(far) > 0.01
    exact = watch(pipeline, "ssd:rounds=6")[0].cells[-6:]  # after six rounds a row of six has settled
    assert max(cell.distance for cell in exact) < 1e-4


def read(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def make(pipeline, prompt="a cat", methods=("spatial", "ar")) -> str:
    return page(prompt, [panel(pipeline.target, watch(pipeline, m)[0]) for m in methods], "model tiny")


def test_page_is_self_contained(pipeline):
    text = make(pipeline)
    assert not re.search(r"https?:|//[a-z]+\.|@import|<link(?![^>]*data:,)|fetch\(|XMLHttpRequest", text)
    assert "$" + "data" not in text and text.startswith("<!doctype html>")
    data = read(text)
    spatial, ar = data["panels"]
    assert (spatial["name"], ar["name"], data["same"], data["grid"]) == ("spatial", "plain AR", 36, [6, 6])
    written_in, slots = spatial["written_in"], spatial["slots"]
    assert len(written_in) == 36 and max(written_in) == len(slots) == len(spatial["guesses"])
    assert ar["atlas"] is None and spatial["atlas"].startswith("data:image/webp;base64,")
    assert data["writers"] == list(WRITERS) and data["fates"] == list(FATES)


def test_a_prompt_cannot_leave_its_place(pipeline):
    prompt = "</script><script>alert(1)</script> & $x \"quotes'"
    text = make(pipeline, prompt, ("ar",))
    assert read(text)["prompt"] == prompt
    assert "<script>alert" not in text


def test_large_pictures_have_no_atlas(pipeline, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_PIXELS", 1000)
    assert panel(pipeline.target, watch(pipeline, "spatial")[0]).atlas is None


def test_frames_show_guesses_and_nothing_else(pipeline):
    watched, _ = watch(pipeline, "spatial")
    sheet, side = panel(pipeline.target, watched).atlas, 24
    for number, one in enumerate(watched.passes):
        left, top = number % 16 * side, number // 16 * side
        frame = sheet.crop((left, top, left + side, top + side))
        for cell in range(36):
            x, y = cell % 6 * 4, cell // 6 * 4
            grey = frame.crop((x, y, x + 4, y + 4)).tobytes() == bytes([128]) * 48
            assert grey == (cell not in one.guesses)
    start = watched.passes[-2].frontier
    assert sorted(one.guesses) == list(range(start, 36)), "in the last pass nothing is unknown"
    tokens = [*watched.tokens[:start], *(one.guesses[cell] for cell in range(start, 36))]
    x, y = 5 * 4, 5 * 4  # the last cell
    drawn = pipeline.target.pixels(tokens, watched.grid).crop((x, y, x + 4, y + 4))
    assert frame.crop((x, y, x + 4, y + 4)).tobytes() == drawn.tobytes()


def test_command(tmp_path, capsys):
    folder = tiny_folder(tmp_path / "tiny")
    out = tmp_path / "page.html"
    code, printed, _ = call_main(capsys, "show", "a cat", "--model", folder, "--method", "hawk", "--out", out)
    data = read(out.read_text())
    passes = [len(one["slots"]) for one in data["panels"]]
    assert code == 0 and f"passes: hawk {passes[0]}, ar {passes[1]}" in printed
    assert [one["name"] for one in data["panels"]] == ["hawk", "plain AR"] and "seed 0" in data["settings"]
    code, _, _ = call_main(capsys, "show", "a cat", "--model", folder, "--method", "ar", "--out", out)
    assert code == 0 and len(read(out.read_text())["panels"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a cat", "--method", "hawk,ar"], "expected one"),
        ([" "], "empty prompt"),
        (["a cat", "--out", "page.png"], "ends in .html"),
        (["a cat", "--out", "nowhere/page.html"], "existing folder"),
    ],
)
def test_bad_input(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = call_main(capsys, "show", *arguments)
    assert code == 2 and message in error and not list(tmp_path.iterdir())


@pytest.mark.skipif(not (DRIVER and CHROMIUM), reason=MISSING)
def test_in_a_browser(pipeline, tmp_path):
    """The slider moves by keyboard, and figures, images and maps follow."""
    file = tmp_path / "page.html"
    file.write_text(make(pipeline, methods=("hawk", "ar")))
    data = read(file.read_text())
    hawk, total = data["panels"][0], len(data["panels"][0]["slots"])
    with browser(tmp_path / "profile") as window:
        window.open(file)

        def text(query: str) -> str:
            return window.run(f"return document.querySelector({query!r}).textContent")

        def figures(number: int) -> str:
            return text(f".panel:nth-child({number}) p")

        def written(passes: int) -> int:
            return sum(number <= passes for number in hawk["written_in"])

        def filled(canvas: str) -> int:
            """Distinct colours of a map's cells."""
            return window.run(
                f"const c = document.querySelector({canvas!r}); const d = c.getContext('2d')"
                ".getImageData(0, 0, c.width, c.height).data; const s = new Set();"
                "for (let i = 0; i < d.length; i += 4) s.add(d.slice(i, i + 3).join()); return s.size"
            )

        assert text("h1") == "“a cat”" and f"{total} passes instead of 36" in text("#claim")
        assert figures(1) == f"pass {total} of {total}, 36 of 36 cells" and "done" in text(".panel h2")
        assert figures(2) == "pass 36 of 36, 36 of 36 cells", "AR too"
        same = (  # as the finished image, pixel by pixel: no marks, no frames
            "const c = document.querySelector('.panel canvas'), d = document.createElement('canvas');"
            "d.width = c.width; d.height = c.height; const pen = d.getContext('2d');"
            "pen.imageSmoothingQuality = 'high'; pen.drawImage(data.panels[0].bitmap, 0, 0, d.width, d.height);"
            "return c.toDataURL() === d.toDataURL()"
        )
        assert window.run(same), "it opens with the clean image"
        window.run("document.getElementById('tint').click()")
        assert not window.run(same), "marks on demand"
        window.run("document.getElementById('tint').click()")
        assert int(window.run("return document.getElementById('pass').max")) == total, "the slider is the method's"
        window.run("document.getElementById('pass').focus()")
        window.press(HOME)
        assert text("#now") == "0" and figures(1) == f"pass 0 of {total}, 0 of 36 cells"
        assert filled("#map-writer") == filled("#map-entropy") == 1, "an empty map"
        window.press(RIGHT * 5)
        window.press(LEFT)
        assert text("#now") == "4" and figures(1) == f"pass 4 of {total}, {written(4)} of 36 cells"
        share = int(4 * 36 / total + 0.5)
        assert figures(2) == f"pass {share} of 36, {share} of 36 cells", "AR at the same share of its passes"
        window.run("document.getElementById('race-on').click()")
        assert figures(2) == "pass 4 of 36, 4 of 36 cells", "AR after as many passes"
        window.press(END)
        assert figures(1).startswith(f"pass {total} of {total}, 36") and figures(2).startswith(f"pass {total} of 36")
        window.press(HOME + RIGHT * 4)
        window.run("document.getElementById('race-on').click()")
        own = sum(
            number <= 4 and writer == 0 for number, writer in zip(hawk["written_in"], hawk["writer"], strict=True)
        )
        assert text("#writer-target td:nth-child(2)") == str(own)
        entropy = [e for e, number in zip(hawk["entropy"], hawk["written_in"], strict=True) if number <= 4]
        assert text("#map-entropy ~ p:last-child") == f"mean so far {sum(entropy) / len(entropy):.2f}"
        assert filled("#map-entropy") > 2 and filled(".panel canvas") > 2
        assert "pass 4" in window.run("return document.getElementById('pass').getAttribute('aria-valuetext')")

        window.run("document.querySelector('.panel canvas').focus()")
        window.press(RIGHT * 2)
        assert text("#detail").startswith(f"hawk, row 1, column 2: written in pass {hawk['written_in'][1]} by ")
        window.run("document.getElementById('play').focus()")
        window.press(" ")
        window.run(  # the driver gives up after 30 seconds
            "return new Promise(done => { const look = () => Number(document.getElementById('now').textContent) > 4"
            " ? done(true) : setTimeout(look, 20); look(); })"
        )
        window.run("document.getElementById('play').focus()")
        window.press(TAB)
        assert window.run("return document.activeElement.id") == "pass", "controls follow each other"

        light = window.run("return getComputedStyle(document.body).backgroundColor")
        window.dark()
        assert window.run("return getComputedStyle(document.body).backgroundColor") != light
        window.resize(360, 740)
        assert window.run("return document.documentElement.scrollWidth") <= 360, "no sideways scrolling on a phone"
        widths = window.run("return [...document.querySelectorAll('.panel canvas')].map(c => c.clientWidth)")
        assert min(widths) > 120, "images stay side by side and large enough"
        asked = window.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(name.startswith("data:") for name in asked), "nothing is fetched"
        assert window.errors() == []


def test_a_trace_is_of_one_image(pipeline):
    _, request = watch(pipeline, "ar")
    with pytest.raises(ValueError, match="expected one of each"):
        trace(pipeline, Method.parse("ar"), replace(request, prompts=["a", "b"], seeds=[0, 1]))
