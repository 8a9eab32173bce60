"""`benchmarks/record_page.py`: the page from its first pass to its last; the recording that README shows."""

import runpy
from pathlib import Path

import pytest
from PIL import Image

from helpers.browser import CHROMIUM, DRIVER, MISSING
from helpers.paths import ROOT
from helpers.tiny import tiny_folder

RECORDED = ROOT / "docs" / "images" / "page.webp"


def seen(path: Path) -> tuple[list[Image.Image], list[int]]:
    """Frames and their milliseconds."""
    with Image.open(path) as film:
        frames, times = [], []
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(film.convert("RGB"))
            times.append(film.info["duration"])
    return frames, times


def green(frame: Image.Image) -> int:
    """Pixels in the colour of "Identical"."""
    return sum(n for n, (r, g, b) in frame.getcolors(1 << 22) if g > r + 60 and g > b + 20 and r < 60)


@pytest.mark.skipif(not (DRIVER and CHROMIUM), reason=MISSING)
def test_the_page_is_recorded_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "record_page.py")), tmp_path / "page.webp"
    script["main"]([str(out), "--model", str(tiny_folder(tmp_path / "tiny")), "--prompt", "a cat", "--seed", "5"])
    frames, times = seen(out)
    assert len(frames) > 1 and times[-1] >= script["HOLD"]
    assert green(frames[-1]) > 100 > green(frames[0]), "it says that both images are identical, at the end"


def test_the_recording_of_the_readme() -> None:
    assert RECORDED.stat().st_size < 300_000 and "docs/images/page.webp" in (ROOT / "README.md").read_text()
    frames, times = seen(RECORDED)
    assert len(frames) > 40 and 5_000 < sum(times) < 15_000
    assert green(frames[-1]) > 300 > green(frames[0])
