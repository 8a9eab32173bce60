"""The CLIP score with a tiny CLIP of random weights, from a folder and by a name on the Hub."""

import numpy as np
import pytest
import torch
import transformers

from spatialspec.quality.extractors import ClipScore

PROMPTS = ["a cat", "a dog", "a very long prompt that goes on and on"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(97 + i) for i in range(26)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = sizes | {"vocab_size": len(words), "max_position_embeddings": 12, "eos_token_id": 53, "bos_token_id": 52}
    text |= {"pad_token_id": 53}
    vision = sizes | {"image_size": 24, "patch_size": 8}
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    model.save_pretrained(folder)
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[])
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)


def test_clip_score_from_a_folder(folder, pictures):
    """The score is the cosine similarity of its two embeddings, times 100."""
    clip = ClipScore(folder)
    scores = clip(pictures, PROMPTS)
    assert scores.shape == (3,) and (np.abs(scores) <= 100).all() and scores.std() > 0
    assert clip(pictures[:1], PROMPTS[:1])[0] == pytest.approx(scores[0], abs=1e-4)
    with pytest.raises(ValueError, match="expected a folder with a CLIP model"):
        ClipScore(folder / "none")


def test_clip_score_hangs_on_picture_and_prompt(folder, pictures):
    """With random weights there is no right way to move, but each side must count, and repeats must not."""
    clip = ClipScore(folder)
    right, shuffled, static = (
        clip(pictures, PROMPTS),
        clip(pictures, PROMPTS[1:] + PROMPTS[:1]),
        clip(255 - pictures, PROMPTS),
    )
    assert (np.abs(right - shuffled) > 1e-3).all() and (np.abs(right - static) > 1e-3).all()
    assert clip(np.repeat(pictures, 7, 0), [p for p in PROMPTS for _ in range(7)]) == pytest.approx(
        np.repeat(right, 7), abs=1e-4
    )


def test_clip_by_its_name_on_the_hub(folder, pictures, monkeypatch):
    """Named, it is asked for as safetensors, without anybody's code; nothing else asks the Hub."""
    asked, real = [], {kind: getattr(transformers, kind).from_pretrained for kind in ("CLIPModel", "CLIPProcessor")}
    for kind, load in real.items():

        def fetch(name, load=load, kind=kind, **options):
            asked.append((kind, name, options))
            return load(folder, **(options | {"local_files_only": True}))

        monkeypatch.setattr(getattr(transformers, kind), "from_pretrained", fetch)
    scores = ClipScore("owner/clip-tiny")(pictures, PROMPTS)
    options = {"local_files_only": False, "trust_remote_code": False}
    model, processor = asked
    assert model == ("CLIPModel", "owner/clip-tiny", options | {"use_safetensors": True})
    assert processor == ("CLIPProcessor", "owner/clip-tiny", options)
    monkeypatch.undo()
    assert scores == pytest.approx(ClipScore(folder)(pictures, PROMPTS))


def test_a_hub_that_cannot_be_reached_is_said(tmp_path, monkeypatch):
    def fail(name, **options):
        raise OSError("We couldn't connect to the Hub\nmore")

    monkeypatch.setattr(transformers.CLIPModel, "from_pretrained", fail)
    with pytest.raises(ValueError, match=r"owner/clip.*couldn't connect to the Hub\).*check the name and the network"):
        ClipScore("owner/clip")
    monkeypatch.setattr(transformers.CLIPModel, "from_pretrained", lambda *a, **k: pytest.fail("asked the Hub"))
    for name in (tmp_path, "nowhere", "a/b/c", "../up", str(tmp_path / "none")):
        with pytest.raises(ValueError, match="expected a folder with a CLIP model, or OWNER/NAME"):
            ClipScore(name)
