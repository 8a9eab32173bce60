"""`benchmarks/animate.py`: a frame for each pass of AR; both methods end with the same image."""

import runpy
from pathlib import Path

from PIL import Image

from helpers.paths import ROOT
from helpers.tiny import tiny_folder


def test_frames_of_both_methods(tmp_path: Path) -> None:
    script, out = runpy.run_path(str(ROOT / "benchmarks" / "animate.py")), tmp_path / "drawing.webp"
    script["main"]([str(out), "--prompt", "a cat", "--model", str(tiny_folder(tmp_path / "tiny"))])
    with Image.open(out) as drawing:
        assert drawing.n_frames == 36, "AR takes a pass for each cell"
        halves = []
        for frame in (0, 17, 35):
            drawing.seek(frame)
            halves.append([drawing.convert("RGB").crop((x, 12, x + 240, 252)) for x in (12, 264)])
    (ar, _), (half, ahead), (last, ours) = halves
    assert last.tobytes() == ours.tobytes() == ahead.tobytes(), "spatial has ended long before"
    empty = (228, 230, 234)
    assert ar.getpixel((239, 0)) == half.getpixel((0, 239)) == empty
    assert half.crop((0, 0, 240, 120)).tobytes() == last.crop((0, 0, 240, 120)).tobytes() and half != last
