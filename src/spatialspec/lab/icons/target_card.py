"""Card of a target of the embedded model's recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spatialspec.drafts.card import card, of_images
from spatialspec.drafts.image_folder import CaptionedImages
from spatialspec.lab.icons.target_recipe import TargetRecipe
from spatialspec.targets.icons.target import IconsTarget


def target_card(
    target: IconsTarget,
    recipe: TargetRecipe,
    figures: Mapping[str, str],
    images: CaptionedImages,
    commands: Sequence[str],
) -> str:
    """Card of a target of the embedded model's recipe.

    Args:
        target: the finished target.
        recipe: settings.
        figures: held-out.
        images: of every split; the model was trained on those of "train".
        commands: shell lines that made it.
    """
    c, count = target.model.config, sum(p.numel() for p in target.model.parameters())
    blocks = sum(p.numel() for p in target.model.blocks.parameters())
    sketch = sum(p.numel() for p in target.model.sketch.parameters())
    learned = images.select("train").rows
    left_out = len(images.select("pair", "concept").rows)
    data = of_images(learned)
    knows = "icons, emoji and clip art only" if data.shipped else f"what {len(learned)} images of its maker show"
    summary = (
        f"`{target.name}` draws small images from words: a VQ tokenizer ({c.codes} codes, {target.vq.config.patch} "
        f"pixels a cell) and an autoregressive transformer on a {target.grid} grid, {count / 1e6:.1f} M parameters, "
        f"of which {blocks / 1e6:.1f} M are in the {c.layers} layers that every image token passes. It knows {knows}; "
        "it is not a general image model.",
        f"The size: {sketch / 1e6:.1f} M parameters sketch the caption once per prompt. The text encoder and the "
        "tables cost nothing per image token either.",
        "It has nearly memorised its training images; the honest test is the held-out images."
        if left_out
        else "No images were held out: there are no held-out figures, and nothing shows how it draws unseen things.",
    )
    stages = ", then ".join(f"{s.steps} steps of {s.batch} images at {s.side} x {s.side}" for s in recipe.stages)
    settings = (
        f"{len(learned)} training images, {left_out} held out; the sketch: {recipe.sketch.steps} steps of "
        f"{recipe.sketch.batch} images, AdamW {recipe.sketch.rate}, rate falling over the last "
        f"{recipe.sketch.fall:.0%}; then the transformer: {stages}; Muon {recipe.muon_rate} for matrices of layers, "
        f"AdamW {recipe.adam_rate} for the rest; rate falls over the last {recipe.fall:.0%}; {recipe.drop:.0%} of "
        f"captions dropped; images shifted by up to {recipe.shift} pixels each way; {recipe.noise:.0%} of the tokens "
        f"that are read replaced by tokens from elsewhere in the image; seed {recipe.seed}",
        f"recommended sampling: guidance {target.default.guidance}, temperature {target.default.temperature}",
    )
    return card(
        f"{target.name}: a small text-to-image target", summary, list(figures.items()), commands, settings, data
    )
