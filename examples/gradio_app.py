"""A page on which an image grows: `pip install gradio`, then `python examples/gradio_app.py --model icons`."""

import argparse
from collections.abc import Iterator
from queue import Queue
from threading import Thread
from typing import Any

from PIL import Image

from spatialspec import SpatialPipeline


def draw(pipe: SpatialPipeline, prompt: str, seed: float, quality: str) -> Iterator[tuple[Image.Image | None, str]]:
    """The image so far and a line about it, after every few passes, and the finished image at last."""
    updates: Queue[Any] = Queue()

    def after_pass(pipe: SpatialPipeline, step: int, cells: int, values: dict[str, Any]) -> dict[str, Any]:
        if step % 4 == 0:
            updates.put((pipe.preview(values["step"].after), f"{cells} cells in {step + 1} passes"))
        return values

    def work() -> None:
        try:
            out = pipe(prompt, seed=int(seed), quality=quality, callback_on_step_end=after_pass)
            updates.put((out.images[0], str(out.report)))
        except Exception as error:  # shown on the page
            updates.put(error)
        updates.put(None)

    (thread := Thread(target=work)).start()
    try:
        while (update := updates.get()) is not None:
            if isinstance(update, Exception):
                raise update
            yield update
    finally:
        pipe.interrupt()  # the page was closed, or asks for another image
        thread.join()


def main() -> None:
    """Serve the page."""
    import gradio as gr

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="icons")
    pipe = SpatialPipeline.from_pretrained(parser.parse_args().model)
    inputs = [
        gr.Textbox(label="Prompt", value="a red apple"),
        gr.Number(label="Seed", value=0, precision=0),
        gr.Radio(["exact", "high", "balanced", "fast"], value="exact", label="Quality"),
    ]
    outputs = [gr.Image(label="Image"), gr.Textbox(label="Report")]
    page = gr.Interface(lambda *values: (yield from draw(pipe, *values)), inputs, outputs)
    page.queue(default_concurrency_limit=1).launch()  # one at a time: a pipeline draws one call


if __name__ == "__main__":
    main()
