"""Pictures as image tokens: what transformers' own encoders give, at any grid, and drafts trained on real pictures."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import ChameleonVQVAE, Emu3Processor
from transformers.models.chameleon.image_processing_pil_chameleon import ChameleonImageProcessorPil

from helpers.real_targets import MAKES
from helpers.tiny import call_main
from helpers.tiny_chameleon import vq_config
from spatialspec.core.grid import Grid
from spatialspec.drafts.corpus import from_images, image_size
from spatialspec.drafts.image_folder import load
from spatialspec.io.tensors import write_tensors
from spatialspec.lab.icons.target import encode_images
from spatialspec.targets import emu35
from spatialspec.targets.chameleon import lumina
from spatialspec.targets.images import ReadsImages
from spatialspec.targets.loading import load_target

READ = ("icons", "janus", "emu3", "anole", "lumina", "liquid")
CANNOT = ("classes", "captions", "codes", "simplear", "lumina2", "emu35")
GRIDS = {
    "icons": Grid(4, 7),
    "janus": Grid(4, 4),
    "emu3": Grid(3, 5),
    "anole": Grid(4, 7),
    "lumina": Grid(4, 6),
    "liquid": Grid(4, 4),
}


def add_encoder(folder: Path) -> Path:
    """The encoder that `convert` writes beside a Lumina-mGPT."""
    torch.manual_seed(2)
    write_tensors(folder / "vq_encoder.safetensors", ChameleonVQVAE(vq_config()).state_dict())
    return folder


def spread_out(vq: Any) -> None:
    """A code book and latents so wide that a tiny encoder names many codes, whatever it was made with."""
    torch.manual_seed(4)
    for name, weight in vq.named_parameters():
        if name.startswith(("quantize.", "quant_conv.")):
            weight.data.normal_()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {kind: MAKES[kind].make(tmp_path_factory.mktemp(kind) / kind) for kind in (*READ, *CANNOT)}
    for kind in ("lumina", "liquid"):
        add_encoder(made[kind])
    return made


def theirs(kind: str, target: Any, pixels: np.ndarray) -> torch.Tensor:
    """Codes by the model's own method, of pixels that its own processor has prepared one by one."""
    if kind == "icons":
        return encode_images(target.vq, torch.from_numpy(pixels), pixels.shape[1] // 4)
    pictures = [Image.fromarray(picture) for picture in pixels]
    if kind == "janus":
        found = [target.processor.image_processor(p, do_resize=False, return_tensors="pt") for p in pictures]
        vq = copy.deepcopy(target.model.model.vqmodel)  # by direction: its quantizer, given unit vectors on both sides
        vq.quantize.embedding.weight.copy_(F.normalize(vq.quantize.embedding.weight, dim=-1))
        latents = [F.normalize(vq.quant_conv(vq.encoder(x["pixel_values"])), dim=1) for x in found]
        return torch.stack([vq.quantize(latent)[2].flatten() for latent in latents])
    if kind == "emu3":
        found = [target.processor.image_processor(p, do_resize=False, return_tensors="pt") for p in pictures]
        rows = [target.model.model.get_image_tokens(x["pixel_values"], x["image_sizes"]) for x in found]
        names = target.model.model.vocabulary_mapping
        columns = pixels.shape[2] // 8
        return torch.stack([names.convert_bpe2img(row.view(-1, columns + 1)).flatten() for row in rows])
    processor = ChameleonImageProcessorPil(do_resize=False, do_center_crop=False, rescale_factor=1 / 127.5)
    x = torch.cat([processor(p, return_tensors="pt")["pixel_values"] for p in pictures])
    return target.reader.encode(x).image_tokens.view(len(pixels), -1)


@pytest.mark.parametrize("kind", READ)
@torch.inference_mode()
def test_codes_are_those_of_the_models_own_encoder(kind: str, folders: dict[str, Path]) -> None:
    target: Any = load_target(folders[kind])
    assert isinstance(target, ReadsImages)
    if kind != "icons":
        spread_out(
            target.reader
            if kind in ("anole", "lumina", "liquid")
            else target.vq
            if kind == "emu3"
            else target.parts.vqmodel
        )
    grid = GRIDS[kind] if kind != "icons" else Grid(5, 5)
    size = (3, grid.rows * target.patch, grid.columns * target.patch, 3)
    pixels = np.random.default_rng(1).integers(256, size=size, dtype=np.uint8)
    pixels[1] = pixels[1] // 8 + 200  # bright, so that means and factors tell
    codes = target.codes(torch.from_numpy(pixels))
    assert codes.shape == (3, grid.cells) and 0 <= codes.min() <= codes.max() < target.vocabulary
    assert len(set(codes.flatten().tolist())) > 5 and not torch.equal(codes[0], codes[1])
    assert torch.equal(codes.long(), theirs(kind, target, pixels).long())
    if kind in ("emu3", "anole", "lumina", "liquid"):
        names = target.model.vocabulary_mapping if kind == "emu3" else None
        ids = target.ids[codes].tolist()
        assert names is None or all(
            names.bpe2img[i] == c
            for row, cs in zip(ids, codes.tolist(), strict=True)
            for i, c in zip(row, cs, strict=True)
        )


@pytest.mark.parametrize("kind", [kind for kind in READ if kind != "janus"])
@torch.inference_mode()
def test_tokens_go_row_by_row_over_a_grid_that_is_not_square(kind: str, folders: dict[str, Path]) -> None:
    """Far from a spot that is changed, no token changes: those that do are where the spot is."""
    target: Any = load_target(folders[kind])
    grid = Grid(12, 20)
    rng, p = np.random.default_rng(2), target.patch
    before = rng.integers(256, size=(1, grid.rows * p, grid.columns * p, 3), dtype=np.uint8)
    after = before.copy()
    after[:, 10 * p :, : 2 * p] = 255 - after[:, 10 * p :, : 2 * p]  # lower left
    changed = (target.codes(torch.from_numpy(before)) != target.codes(torch.from_numpy(after))).view(12, 20)
    assert changed[8:, :6].sum() > 0
    assert changed[8:, :6].double().mean() > 2 * changed[:6, 10:].double().mean()


def test_chameleon_names_the_tokens_that_transformers_does(folders: dict[str, Path]) -> None:
    """Ids of Anole are shuffled: an id of a code is that of transformers' own method."""
    from transformers import ChameleonForConditionalGeneration

    target: Any = load_target(folders["anole"])
    pixels = torch.randint(256, (2, 24, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = ChameleonForConditionalGeneration.from_pretrained(folders["anole"])
    with torch.inference_mode():
        expected = model.model.get_image_tokens(pixels.permute(0, 3, 1, 2) / 127.5 - 1)
    assert torch.equal(target.ids[target.codes(pixels)], expected.long())


def write_pictures(folder: Path, size: tuple[int, int] = (70, 50)) -> None:
    """Four pictures of noise and a table without splits."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file_name,text"]
    for i, words in enumerate(("a red apple", "two cats on a mat by the sea") * 2):
        Image.fromarray(rng.integers(256, size=(*size[::-1], 3), dtype=np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{words}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own grids that are not square where the model leaves a choice."""
    monkeypatch.setattr(Emu3Processor, "image_area", 16 * 64)
    monkeypatch.setattr(lumina, "USUAL", 4 * 4)
    monkeypatch.setattr(emu35, "USUAL", Grid(3, 5))


def test_pictures_are_cut_to_the_grid(folders: dict[str, Path], tmp_path: Path) -> None:
    """A wide picture loses its sides, a tall grid is filled; another size is refused."""
    target: Any = load_target(folders["lumina"])
    target.grid = Grid(6, 4)
    assert image_size(target) == (24, 16)
    write_pictures(tmp_path / "pictures")
    stripes = np.zeros((24, 64, 3), np.uint8)
    stripes[:, 24:40] = np.arange(24, dtype=np.uint8)[:, None, None]
    Image.fromarray(stripes).save(tmp_path / "pictures" / "0.png")
    found = load(tmp_path / "pictures", (24, 16), print)
    assert found.pixels.shape == (4, 24, 16, 3)
    assert np.array_equal(found.pixels[0], stripes[:, 24:40])
    learned, reported = from_images(target, found, 0, None, 32)
    assert learned.codes.shape == (3, 24) and reported.codes.shape == (1, 24) and not learned.codes.is_inference()
    expected = torch.cat([target.codes(torch.from_numpy(picture[None])) for picture in found.pixels[:3]])
    assert torch.equal(learned.codes.long(), expected)
    target.grid = Grid(4, 6)
    with pytest.raises(ValueError, match="got images of 24x16 pixels, expected 16x24"):
        from_images(target, found, 0, None, 32)


@pytest.mark.parametrize(("kind", "drafter"), [*((kind, "hawk") for kind in READ), ("emu3", "spatial-model")])
def test_drafts_learn_from_a_folder_of_pictures(
    kind: str, drafter: str, folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small_grids(monkeypatch)
    write_pictures(Path("pictures"))
    asked = ["train", "draft", "--target", folders[kind], "--drafter", drafter, "--data", "pictures"]
    code, _, err = call_main(capsys, *asked, "--steps", 2, "--batch", 2, "--out", "mine")
    assert (code, err) == (0, ""), err
    assert Path("mine/model.safetensors").is_file() and "3 real images" in Path("mine/README.md").read_text()


@pytest.mark.parametrize("kind", [*CANNOT, "lumina"])
def test_a_target_without_an_encoder_says_so_in_a_line(
    kind: str, folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    small_grids(monkeypatch)
    write_pictures(Path("pictures"))
    folder = folders[kind] if kind in CANNOT else MAKES[kind].make(tmp_path / "bare")
    capsys.readouterr()  # what writing said
    asked = ["train", "draft", "--target", folder, "--drafter", "hawk", "--data", "pictures"]
    code, _, err = call_main(capsys, *asked, "--steps", 2, "--batch", 2, "--out", "mine")
    assert code != 0 and err.count("\n") == 1, err
    assert "encoder of images" in err and "--self-distil PROMPTS" in err
    assert ("convert vqgan.ckpt" in err) == (kind == "lumina")
