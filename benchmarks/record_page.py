"""Record the page of `spatialspec serve` while it draws: `python benchmarks/record_page.py OUT.webp`.

A real headless Chromium opens a link of the page, and its panels are photographed while they grow. Both share passes;
in the recording a pass takes as long as any other, however busy the machine is. Needs `chromium` and `chromedriver`.
"""

import argparse
import base64
import io
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from spatialspec.io.outputs import check_output

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from helpers.browser import browser

WIDTH, HEIGHT, BELOW = 760, 1100, 12  # of the window, and what is shown below the images, in pixels
PASS, HOLD = 12, 4000  # milliseconds of a pass, and of the last frame
CLOSE, FAR = 3, 12  # passes between frames, until the faster panel is done and after that
SLOWEST = 600.0  # seconds
STATE = """
const [ar, other] = document.querySelectorAll(".panel strong"), done = document.querySelector("#status").className;
return [done.startsWith("done"), Number(ar.textContent), Number(other.textContent)];
"""
PLACE = """
const top = document.querySelector("#status").getBoundingClientRect().top;
const bottom = document.querySelector("canvas").getBoundingClientRect().bottom;
return [top, bottom];
"""


def frames(url: str, link: str, folder: Path) -> tuple[list[Image.Image], list[int]]:
    """Status and panels from the first pass to the end, and for how many milliseconds: as long as their passes."""
    images, passes = list[Image.Image](), list[int]()
    with browser(folder) as window:
        window.resize(WIDTH, HEIGHT)
        window.open(f"{url}/{link}")
        end, done, before = time.monotonic() + SLOWEST, False, -1
        top, bottom = window.run(PLACE)
        clip = {"x": 0, "y": top - BELOW // 3, "width": WIDTH, "height": bottom - top + 2 * BELOW, "scale": 1}
        while not done and time.monotonic() < end:
            done, ar, other = window.run(STATE)
            if done or ar >= (passes[-1] if passes else -CLOSE) + (FAR if other == before else CLOSE):
                shot = window.devtools("Page.captureScreenshot", format="png", clip=clip)["data"]
                images.append(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))
                passes.append(ar)
                before = other
    if not done:
        raise SystemExit("the page did not end with two images")
    return images, [PASS * (after - now) or PASS for now, after in pairwise(passes)] + [HOLD]


def main(words: list[str] | None = None) -> None:
    """Serve, record, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="a WebP file")
    parser.add_argument("--prompt", default="red apple, 3d")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="icons", help="name or folder")
    options = parser.parse_args(words)
    check_output(options.out, ".webp", "OUT")
    command = [sys.executable, "-m", "spatialspec", "serve", "--port", "0", "--model", options.model]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[3]
        link = "#" + urlencode({"prompt": options.prompt, "seed": options.seed, "method": "spatial"})
        with tempfile.TemporaryDirectory() as folder:
            images, durations = frames(url, link, Path(folder))
    finally:
        server.terminate()
        server.wait()
    images[0].save(
        options.out, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=50, method=6
    )
    print(f"wrote {options.out}: {len(images)} frames, {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
