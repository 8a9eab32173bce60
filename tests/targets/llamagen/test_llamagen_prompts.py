"""Prompts of LlamaGen: classes by id and name, captions cleaned and encoded by T5, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from helpers.llamagen_tiny import CAPTION, CLASSES, PREFIX, tiny_folder, tiny_t5
from helpers.recipes import run_recipes
from spatialspec import SpatialPipeline
from spatialspec.targets.llamagen.captions import T5Captions, save_captions
from spatialspec.targets.llamagen.classes import class_id, imagenet_names
from spatialspec.targets.llamagen.text import clean_caption


def test_a_class_is_an_id_or_one_of_its_names():
    # ids as in LlamaGen's sample_c2i.py: [207, 360, 387, 974, 88, 979, 417, 279]
    names = {"golden retriever": 207, "OTTER": 360, "lesser  panda": 387, "geyser": 974, "macaw": 88, "valley": 979}
    names |= {"balloon": 417, "Arctic fox": 279, "tench": 0, "Tinca tinca": 0, "toilet tissue": 999, "0": 0, "999": 999}
    assert {name: class_id(name, 1000) for name in names} == names
    ids = {number for found in imagenet_names().values() for number in found}
    assert ids == set(range(1000))


@pytest.mark.parametrize(
    ("prompt", "classes", "message"),
    [
        ("1000", 1000, "got class 1000, expected 0 to 999"),
        ("crane", 1000, "which is 134 and 517, expected one: give the id"),
        ("golden retriver", 1000, "a name such as golden retriever"),
        ("a photo of a dog on the moon", 1000, "expected a class of ImageNet: an id, 0 to 999, or a name"),
        ("goldfish", 10, "expected a class id, 0 to 9"),
        ("-1", 1000, "expected a class of ImageNet"),
    ],
)
def test_a_prompt_that_is_no_class_is_refused(prompt, classes, message):
    with pytest.raises(ValueError, match=message):
        class_id(prompt, classes)


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("  A Red\tApple ", "a red apple"),
        ("A <b>bold</b> cat &amp; dog", "a bold cat dog"),
        ("cat https://example.com/a on a mat", "cat on a mat"),
        ("photo by @someone #12 (new) [x]", "photo by new x"),
        ("a \u201cquoted\u201d word \u2014 it\u2019s a dog", 'a "quoted" word - it\'s a dog'),
        ("a-b-c-d-e", "a b c d e"),
        ("img_001.png jc6640vc 300x200 sunset", "sunset"),
        ("red%20apple,green pear", "red apple, green pear"),
        ("猫 cat", "cat"),
        ("e.g. wow... yes", "e. g. wow yes"),
        ("FREE SHIPPING worldwide!", "worldwide!"),
    ],
)
def test_captions_are_cleaned_as_in_training(caption, cleaned):
    assert clean_caption(caption) == cleaned


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Path:
    """A tiny T5 as transformers saves it."""
    return tiny_t5(tmp_path_factory.mktemp("t5"))


def padded(t5: Path, captions: list[str]) -> list[torch.Tensor]:
    """Features as the published sampler computes them: padded to the full length, masked, then cut."""
    encoder, tokenizer = T5EncoderModel.from_pretrained(t5).eval(), PreTrainedTokenizerFast.from_pretrained(t5)
    read = tokenizer(captions, max_length=PREFIX, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = encoder(input_ids=read.input_ids, attention_mask=read.attention_mask).last_hidden_state
    return [row[: int(mask.sum())] for row, mask in zip(found, read.attention_mask, strict=True)]


def test_features_are_those_of_the_padded_batch(t5):
    captions = ["a red apple", "cat", "two blue hearts " * 10]
    got = T5Captions(t5, PREFIX, dtype=torch.float32)(captions)
    assert [len(features) for features in got] == [4, 2, PREFIX]
    for features, want in zip(got, padded(t5, captions), strict=True):
        torch.testing.assert_close(features, want, atol=1e-5, rtol=0)


def test_captions_come_from_the_encoder_or_from_a_file(tmp_path, t5):
    folder = tiny_folder(tmp_path, "text")
    with pytest.raises(ValueError, match=r"got prompt 'a red apple' and no text encoder, expected flan-t5-xl as t5"):
        SpatialPipeline.from_pretrained(folder)("a red apple", method="ar")
    (folder / "t5").symlink_to(t5)
    computed = SpatialPipeline.from_pretrained(folder)(["A red apple", "cat"], method="ar", seed=1)
    (folder / "t5").unlink()
    save_captions(folder / "captions.safetensors", ["a red apple", "Cat"], T5Captions(t5, PREFIX, dtype=torch.float32))
    assert load_file(folder / "captions.safetensors").keys() == {"a red apple", "cat"}
    pipeline = SpatialPipeline.from_pretrained(folder)
    assert pipeline(["a red apple!".replace("!", ""), " CAT"], method="ar", seed=1).tokens == computed.tokens
    with pytest.raises(ValueError, match="got prompt 'two hearts' and no text encoder"):
        pipeline("two hearts")
    with pytest.raises(ValueError, match="cleaning leaves nothing"):
        pipeline("***")
    with pytest.raises(ValueError, match="got an empty prompt"):
        pipeline(" ")


def test_foreign_features_and_encoders_are_refused(tmp_path, t5):
    folder = tiny_folder(tmp_path, "text")
    for shape in ((PREFIX + 1, CAPTION), (3, CAPTION + 1), (0, CAPTION)):
        save_file({"cat": torch.zeros(shape)}, folder / "captions.safetensors")
        with pytest.raises(ValueError, match=r"for 'cat', expected \(n, 24\) with n from 1 to 12"):
            SpatialPipeline.from_pretrained(folder)
    (folder / "captions.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"captions\.safetensors: got a damaged file .*, expected safetensors"):
        SpatialPipeline.from_pretrained(folder)
    (folder / "captions.safetensors").unlink()
    (folder / "t5").mkdir()
    for config, message in (('{"model_type": "bert", "d_model": 24}', "got a model of type 'bert', expected t5"),):
        (folder / "t5" / "config.json").write_text(config)
        with pytest.raises(ValueError, match=message):
            SpatialPipeline.from_pretrained(folder)
    (folder / "t5" / "config.json").write_text('{"model_type": "t5", "d_model": 512}')
    with pytest.raises(ValueError, match="got features of 512, expected 24: use flan-t5-xl"):
        SpatialPipeline.from_pretrained(folder)


def test_a_class_model_refuses_a_caption_before_anything_is_computed(tmp_path):
    pipeline = SpatialPipeline.from_pretrained(tiny_folder(tmp_path, "class"))
    seen: list[int] = []
    for words, negative in (("a red apple on a table", ""), ("417", "a blurry picture")):
        with pytest.raises(ValueError, match="expected a class of ImageNet"):
            pipeline(
                words,
                negative_prompt=negative,
                callback_on_step_end=lambda pipe, step, cells, kwargs: seen.append(step),
            )
    assert not seen and pipeline.target.model.config.classes == CLASSES


def test_recipes_of_the_page(tmp_path, t5, monkeypatch):
    monkeypatch.chdir(tmp_path)
    captions = tmp_path / "captions.safetensors"
    changes = {"llamagen-t2i/captions.safetensors": captions, "flan-t5-xl": t5}
    run_recipes("llamagen", {"llamagen-xl": tiny_folder(tmp_path, "class"), **changes}, {})
    assert (tmp_path / "dog.png").stat().st_size > 0
    assert load_file(captions)["a red apple"].shape == (4, CAPTION)
