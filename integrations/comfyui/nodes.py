"""Nodes of ComfyUI (its V3 API): load a model, and draw with a preview, a progress bar and cancelling."""

from __future__ import annotations

from typing import Any

from comfy import model_management
from comfy_api.latest import ComfyAPISync, ComfyExtension, io

from spatialspec import SpatialPipeline

CATEGORY = "spatialspec"
PIPELINE = io.Custom("SPATIALSPEC_PIPELINE")
LARGEST = 2**63 - 2048  # seeds: image i has seed + i
QUALITIES = ["exact", "high", "balanced", "fast"]


class SpatialSpecLoader(io.ComfyNode):
    """Loads a model: `icons`, a folder, or OWNER/NAME of the Hub, from where it is fetched."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SpatialSpecLoader",
            display_name="Load AR image model (spatialspec)",
            category=CATEGORY,
            inputs=[
                io.String.Input("model", default="icons", tooltip="icons, a folder, or OWNER/NAME on the Hub"),
                io.String.Input("draft", default="", tooltip="draft weights, for methods that need them"),
                io.Combo.Input("dtype", options=["auto", "bf16", "fp16", "fp32"], default="auto"),
            ],
            outputs=[PIPELINE.Output(display_name="pipeline")],
        )

    @classmethod
    def execute(cls, model: str, draft: str, dtype: str) -> io.NodeOutput:
        """Load the model onto the device of ComfyUI."""
        device = str(model_management.get_torch_device())
        return io.NodeOutput(SpatialPipeline.from_pretrained(model, draft or None, device=device, dtype=dtype))


class SpatialSpecSampler(io.ComfyNode):
    """Draws images; identical to plain AR for the same seed, in fewer passes, unless a lower quality is chosen."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SpatialSpecSampler",
            display_name="Draw with an AR image model (spatialspec)",
            category=CATEGORY,
            inputs=[
                PIPELINE.Input("pipeline"),
                io.String.Input("prompt", multiline=True),
                io.String.Input("negative_prompt", multiline=True, default=""),
                io.Int.Input("seed", default=0, min=0, max=LARGEST, control_after_generate=True),
                io.Int.Input("images", default=1, min=1, max=64),
                io.String.Input("size", default="", tooltip="ROWSxCOLUMNS in tokens; empty for the model's own"),
                io.Float.Input("guidance", default=0.0, min=0.0, max=100.0, tooltip="0 for the model's own"),
                io.String.Input("method", default="spatial", tooltip="name[:key=value...]"),
                io.Combo.Input("quality", options=QUALITIES, default="exact", tooltip="of the method spatial"),
                io.Int.Input("preview_every", default=8, min=0, max=1024, tooltip="passes between previews; 0: none"),
            ],
            outputs=[io.Image.Output(display_name="images"), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(
        cls,
        pipeline: SpatialPipeline,
        prompt: str,
        negative_prompt: str,
        seed: int,
        images: int,
        size: str,
        guidance: float,
        method: str,
        quality: str,
        preview_every: int,
    ) -> io.NodeOutput:
        """Draw; an image of the finished rows of the first image is shown on the way."""
        progress, written = ComfyAPISync().execution, [0] * images

        def after_pass(pipe: SpatialPipeline, step: int, cells: int, values: dict[str, Any]) -> dict[str, Any]:
            model_management.throw_exception_if_processing_interrupted()
            record = values["step"]
            written[record.image] = cells
            shown = record.image == 0 and preview_every and step % preview_every == 0
            total = images * record.after.layout.cells
            progress.set_progress(sum(written), total, preview_image=pipe.preview(record.after) if shown else None)
            return values

        pipeline.set_progress_bar_config(disable=True)
        out = pipeline(
            prompt,
            negative_prompt=negative_prompt or None,
            seed=seed,
            num_images_per_prompt=images,
            size=size or None,
            guidance_scale=guidance or None,
            method=method,
            quality=None if quality == "exact" else quality,
            output_type="pt",
            callback_on_step_end=after_pass,
        )
        return io.NodeOutput(out.images.permute(0, 2, 3, 1).contiguous(), str(out.report))


class SpatialSpecExtension(ComfyExtension):
    """Both nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Called by ComfyUI."""
        return [SpatialSpecLoader, SpatialSpecSampler]


async def comfy_entrypoint() -> ComfyExtension:
    """Called by ComfyUI."""
    return SpatialSpecExtension()
