"""The page in a real browser: two panels grow, a link draws again, cancelling, errors, keys, phones and the dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from helpers.browser import CHROMIUM, DRIVER, MISSING, TAB, Browser, browser
from helpers.gate import Gate
from helpers.serving import eventually, serving
from spatialspec.pipeline import SpatialPipeline

pytestmark = pytest.mark.skipif(not (DRIVER and CHROMIUM), reason=MISSING)
ENTER, ESCAPE = chr(0xE007), chr(0xE00C)
LINK = "/#prompt=a+cat&seed=5&method=spatial&quality=exact"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


class Page:
    """What a reader of the page sees."""

    def __init__(self, window: Browser, url: str) -> None:
        self.window = window
        window.open("about:blank")
        window.errors()  # those of earlier pages
        window.open(url)

    def text(self, query: str) -> str:
        return str(self.window.run(f"return document.querySelector({query!r}).textContent"))

    def get(self, query: str, name: str) -> Any:
        return self.window.run(f"return document.querySelector({query!r}).{name}")

    def click(self, query: str) -> None:
        self.window.run(f"document.querySelector({query!r}).click()")

    def says(self, start: str) -> None:
        eventually(lambda: self.text("#status").startswith(start), f"the page does not say {start}")

    def passes(self) -> list[int]:
        return [int(self.text(f".panel:nth-child({i}) strong")) for i in (1, 2)]

    def painted(self, panel: int, rows: int = 6) -> int:
        """Colours of the first of six rows of cells in a panel's canvas; 1 where nothing is painted."""
        script = (
            f"const c = document.querySelectorAll('canvas')[{panel}], h = c.height * {rows} / 6;"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, h).data, s = new Set();"
            "for (let i = 0; i < d.length; i += 4) s.add(d.slice(i, i + 4).join()); return s.size"
        )
        return int(self.window.run(script))


def tokens_equal(pipeline: SpatialPipeline, seed: int, **other: Any) -> tuple[int, list[int]]:
    """How many of 36 tokens AR and another method have in common, and the passes of both."""
    ar, ours = (pipeline("a cat", seed=seed, **how, output_type="tokens") for how in ({"method": "ar"}, other))
    same = sum(a == b for a, b in zip(ar.tokens[0], ours.tokens[0], strict=True))
    return same, [out.report.images[0].passes for out in (ar, ours)]


def test_two_panels_grow_to_one_image(window: Browser, pipeline: SpatialPipeline, gate: Gate) -> None:
    gate.shut(lambda batch: any(d.state is not None and len(d.state.tokens) >= 18 for d in batch.drawings))
    same, passes = tokens_equal(pipeline, 5)
    assert same == 36
    with serving(pipeline) as served, gate:
        page = Page(window, served.url)
        page.says("Ready.")
        window.run("document.querySelector('#prompt').value = 'a cat'; document.querySelector('#seed').value = 5")
        window.run("document.querySelector('#prompt').focus()")
        window.press(ENTER)
        page.says("Drawing “a cat” from seed 5.")
        eventually(lambda: page.get("progress[aria-label*=spatial]", "value") >= 18, "ours does not grow")
        ar, ours = page.passes()
        assert 0 < ours < passes[1] and page.get("progress", "value") == ar < 18, "AR is behind"
        eventually(lambda: page.painted(1, 3) > 1, "rows are painted on the way")
        assert page.get("#cancel", "disabled") is False and page.get(".save", "hidden") is True
        gate.open()
        page.says("Identical.")
        assert page.text("#status") == f"Identical. {passes[1]} passes instead of 36, {36 / passes[1]:.1f} times fewer."
        assert page.passes() == passes and page.text(".more").startswith("36 of 36 cells, ")
        urls = window.run("return [...document.querySelectorAll('canvas')].map(c => c.toDataURL())")
        saved = window.run("return [...document.querySelectorAll('.save')].map(a => a.href)")
        assert urls[0] == urls[1] and saved[0] == saved[1] and saved[0].startswith("data:image/png;base64,")
        assert page.get(".save", "download") == "a-cat-5-plain AR.png" and page.get("#cancel", "disabled") is True
        assert (
            window.run("return location.hash") == LINK[1:] == window.run("return new URL(document.links[2].href).hash")
        )
        page.click("#tint")
        assert window.run("return document.querySelectorAll('canvas')[1].toDataURL()") not in urls
        assert page.get("#legend", "hidden") is False
        asked = window.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(name.startswith((served.url, "data:")) for name in asked), "nothing from elsewhere"
        assert window.errors() == []


def test_a_link_draws_the_image_again(window: Browser, pipeline: SpatialPipeline) -> None:
    """And a relaxed method, of which the page says how far it is."""
    with serving(pipeline) as served:
        first = Page(window, served.url + LINK)
        first.says("Identical.")
        image = first.get(".save", "href")
        again = Page(window, served.url + LINK)
        again.says("Identical.")
        assert again.get(".save", "href") == image and again.get("#prompt", "value") == "a cat"
        same, passes = tokens_equal(pipeline, 7, quality="fast")
        assert same < 36
        relaxed = Page(window, served.url + "/#prompt=a+cat&seed=7&method=spatial&quality=fast")
        relaxed.says("Not exact, another image: ")
        share = int(same / 36 * 1000) / 10
        assert f"{share:.1f} % of tokens are equal. {passes[1]} passes instead of 36" in relaxed.text("#status")
        assert relaxed.text("#name-1") == "spatial, fast"
        relaxed.click("#again")
        eventually(lambda: relaxed.get("#seed", "value") != "7", "another seed")
        other = Page(window, served.url + "/#prompt=a+cat&seed=7&method=sjd&quality=exact")
        other.says("Another image of the same distribution: ")
        assert other.get("#quality", "disabled") is True and window.errors() == []


def test_rounding_is_not_called_identical(window: Browser, pipeline: SpatialPipeline, monkeypatch: Any) -> None:
    """In bf16: a token of ours is changed on its way, as rounding may."""
    from spatialspec.serve import answers

    true = answers.finished
    target = type(pipeline.target)
    monkeypatch.setattr(target, "dtype", property(lambda self: torch.bfloat16))

    def rounded(drawing: Any) -> dict[str, Any]:
        fields = true(drawing)
        first, *others = fields["tokens"]
        return fields | ({"tokens": [first ^ 1, *others]} if drawing.method.name == "spatial" else {})

    with serving(pipeline) as served:
        page = Page(window, served.url + LINK)
        page.says("Identical.")
        monkeypatch.setattr(answers, "finished", rounded)
        page.click("#draw")
        page.says("Equal up to bf16 rounding: 97.2 % of tokens are equal. ")
        assert page.get("#status", "className") == "done"
        monkeypatch.setattr(target, "dtype", property(lambda self: torch.float32))
        Page(window, served.url + LINK).says("Not identical: 97.2 % of tokens are equal. ")


def test_cancel_and_errors(window: Browser, pipeline: SpatialPipeline, gate: Gate) -> None:
    gate.shut(lambda batch: any(d.state is not None for d in batch.drawings))
    with serving(pipeline, seconds=60) as served, gate:
        page = Page(window, served.url + LINK)
        for cancel in (lambda: page.click("#cancel"), lambda: window.press(ESCAPE)):
            eventually(lambda: len(served.server.scheduler.jobs) == 2, "two jobs")
            cancel()
            page.says("Cancelled.")
            assert page.get("#cancel", "disabled") is True
            eventually(lambda: not served.server.scheduler.jobs, "both jobs end")
            page.click("#draw")
        page.click("#cancel")
        gate.open()
        window.run("document.querySelector('#prompt').value = ' '")
        page.click("#draw")
        page.says("Error: got an empty prompt, expected words")
        assert page.get("#status", "className") == "bad"
        assert all("400" in error for error in window.errors()), "the browser's own words on a refused request"
    page.click("#draw")
    page.says("Error: the server does not answer")


def test_a_key_is_asked_for(window: Browser, pipeline: SpatialPipeline) -> None:
    with serving(pipeline, "open-sesame") as served:
        page = Page(window, served.url)
        page.says("Error: got no valid API key")
        assert page.get("#key-label", "hidden") is False and window.run("return document.activeElement.id") == "key"
        window.press("open-sesame" + TAB)
        page.says("Ready.")
        page.click("#examples button")
        page.says("Identical.")


def test_phone_dark_keyboard_and_screen_readers(window: Browser, pipeline: SpatialPipeline) -> None:
    with serving(pipeline) as served:
        page = Page(window, served.url + LINK)
        page.says("Identical.")
        window.resize(390, 844)
        assert window.run("return document.documentElement.scrollWidth") <= 390, "no sideways scrolling"
        lefts = window.run("return [...document.querySelectorAll('canvas')].map(c => c.getBoundingClientRect().left)")
        widths = window.run("return [...document.querySelectorAll('canvas')].map(c => c.clientWidth)")
        assert lefts[0] < lefts[1] and min(widths) > 140, "side by side, and large enough"
        low = window.run("return [...document.querySelectorAll('button, select, input:not([type])')].filter("
                         "e => e.offsetParent && e.getBoundingClientRect().height < 40).map(e => e.id)")  # fmt: skip
        assert low == [], "large enough for a finger"
        light = window.run("return getComputedStyle(document.body).backgroundColor")
        window.dark()
        assert window.run("return getComputedStyle(document.body).backgroundColor") != light
        window.run("document.querySelector('#prompt').focus()")
        reached = []
        for _ in range(14):
            reached.append(window.run("return document.activeElement.id || document.activeElement.textContent"))
            window.press(TAB)
        assert reached[0] == "prompt" and reached[7:12] == ["seed", "method", "quality", "draw", "again"], reached
        assert page.get("#status", "role") == "status" and page.get("#status", "ariaLive") == "polite"
        assert page.get("canvas", "ariaLabel") == "plain AR: 36 of 36 cells drawn"
        unnamed = window.run(
            "return [...document.querySelectorAll('input, select')].filter(e => !e.labels.length).length"
        )
        assert unnamed == 0 and window.errors() == []
        assert "'unsafe-inline'" not in served.http.get("/").headers["Content-Security-Policy"]


def test_nothing_of_the_page_is_from_elsewhere(served_page: dict[str, str]) -> None:
    for text in served_page.values():
        assert "http:" not in text and "https:" not in text and "//" not in text.replace("// ", "")
        assert " style=" not in text and "innerHTML" not in text and "onclick=" not in text


@pytest.fixture
def served_page(pipeline: SpatialPipeline) -> dict[str, str]:
    with serving(pipeline) as served:
        return {path: served.http.get(path).text for path in ("/", "/page.css", "/page.js")}
