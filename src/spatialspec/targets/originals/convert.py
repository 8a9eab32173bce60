"""One converter for every published layout: the names of the tensors show which it is."""

from __future__ import annotations

from pathlib import Path

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Grid
from spatialspec.targets.layouts import (
    AR_DTOK,
    CHAMELEON,
    COSMOS,
    JANUS,
    LANGUAGE,
    LLAMAGEN,
    MOVQGAN,
    QWEN3,
    TA_TOK,
    VQGAN,
    CheckpointLayout,
)
from spatialspec.targets.originals.source import PublishedSource
from spatialspec.targets.published import identify

CONVERTED = (LLAMAGEN, AR_DTOK, TA_TOK, VQGAN, MOVQGAN, COSMOS, JANUS, CHAMELEON)


def convert(
    source: PublishedSource,
    out: Path,
    vq: PublishedSource | None = None,
    size: Grid | None = None,
    heads: int | None = None,
) -> tuple[str, str]:
    """Turn a published checkpoint into a folder that is loaded.

    Args:
        source: of the weights.
        out: new folder; for an image decoder alone that of the checkpoint that lacks one.
        vq: the image decoder of LlamaGen, AR-DTok, Emu3 or Emu3.5.
        size: grid of LlamaGen or AR-DTok; None reads it from the file's name.
        heads: attention heads of LlamaGen or AR-DTok; None knows them for the published widths.

    Returns:
        What the source is, and one line on what was written.

    Raises:
        BadInput: an unknown or damaged file, one that needs no converting or another way, or an option that does not
            belong to it.
    """
    kind, config = identify(*source.weights), source.folder / "config.json"
    emu3 = kind in (LANGUAGE, QWEN3) and config.is_file() and source.config("config.json").get("model_type") == "Emu3"
    options = {"--vq": vq, "--size": size, "--heads": heads}
    allowed = tuple(options) if kind in (LLAMAGEN, AR_DTOK) else ("--vq",) if emu3 else ()
    if kind not in CONVERTED and not emu3:
        raise BadInput(kind.what, ", or ".join(known.what for known in CONVERTED), kind.advice, source.weights[0])
    if foreign := [name for name, value in options.items() if value is not None and name not in allowed]:
        raise BadInput(", ".join(foreign), f"no such option for {kind.what}", "leave it out")
    if emu3:
        from spatialspec.targets.originals import emu3 as gen
        from spatialspec.targets.originals import emu35 as newer

        what, original = ("Emu3.5", newer) if kind is QWEN3 else ("Emu3", gen)
        if vq is None:
            raise BadInput("no image decoder", f"--vq {original.VQ}, or its folder", "it is a repository of its own")
        return f"{what} in BAAI's own layout", original.convert(source, out, vq)
    return kind.what, _convert(kind, source, out, vq, size, heads)


def _convert(
    kind: CheckpointLayout,
    source: PublishedSource,
    out: Path,
    vq: PublishedSource | None,
    size: Grid | None,
    heads: int | None,
) -> str:
    if kind in (LLAMAGEN, AR_DTOK):
        from spatialspec.targets.llamagen.convert import convert as convert_llamagen

        return convert_llamagen(source.weights[0], out, None if vq is None else vq.weights[0], size, heads, kind)
    if kind is TA_TOK:
        from spatialspec.targets.originals.tatok import convert as convert_tatok

        convert_tatok(source.weights[0], out)
        return "TA-Tok's decoder"
    if kind is JANUS:
        from spatialspec.targets.originals.janus import convert as convert_janus

        return convert_janus(source, out)
    if kind is CHAMELEON:
        from spatialspec.targets.originals.chameleon import convert as convert_chameleon

        return convert_chameleon(source, out)
    if kind is COSMOS:
        from spatialspec.targets.originals.cosmos import convert as convert_cosmos

        convert_cosmos(source.weights[0], out)
        return "the image decoder of SimpleAR"
    if kind is MOVQGAN:
        from spatialspec.targets.originals.movqgan import convert as convert_movqgan

        convert_movqgan(source.weights[0], out)
        return "the image decoder of Lumina-mGPT 2.0"

    from spatialspec.targets.chameleon.files import convert as convert_decoder

    convert_decoder(source.weights[0], out)
    return "Chameleon's image decoder"
