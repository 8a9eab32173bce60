"""Published layouts of the authors, converted: the weights and tokens of the twin in the layout of transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, Emu3Processor

from helpers.originals import RANKS, Tensors, original_chameleon, original_emu3, original_janus
from helpers.tiny import call_main
from spatialspec import BadInput, SpatialPipeline
from spatialspec.targets.loading import wrap
from spatialspec.targets.originals.chameleon import halves
from spatialspec.targets.originals.source import PublishedSource, write_shards

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    return partial(call_main, capsys)


def weights_of(folder: Path) -> Tensors:
    return {name: t for path in folder.glob("*.safetensors") for name, t in load_file(path).items()}


def assert_same(got: Tensors, expected: Tensors) -> None:
    assert got.keys() == expected.keys()
    assert not [name for name in expected if not torch.equal(got[name], expected[name])]


@pytest.mark.parametrize("shards", [1, 3])
def test_janus(call: Call, tmp_path: Path, shards: int, capsys: pytest.CaptureFixture[str]) -> None:
    expected = original_janus(tmp_path / "deepseek", tmp_path / "twin", shards)
    capsys.readouterr()  # bars of transformers
    with pytest.raises(BadInput, match="run `spatialspec convert deepseek OUT`"):
        SpatialPipeline.from_pretrained("deepseek")
    code, out, err = call("convert", "deepseek", "janus")
    assert (code, err) == (0, ""), err
    assert out.startswith(
        "deepseek is Janus in DeepSeek's own layout\nwrote janus: Janus in the layout of transformers"
    )
    assert_same(weights_of(tmp_path / "janus"), expected)
    made, twin = SpatialPipeline.from_pretrained("janus"), SpatialPipeline.from_pretrained("twin")
    asked = {"prompt": ["a red apple", "two cats"], "seed": 3, "negative_prompt": [None, "a house"]}
    ours, theirs = made(**asked), twin(**asked)
    assert ours.tokens == theirs.tokens and made.target.default == twin.target.default
    assert [a.tobytes() for a in ours.images] == [b.tobytes() for b in theirs.images]
    assert AutoProcessor.from_pretrained("janus").chat_template  # for chats with transformers


def test_emu3(call: Call, tmp_path: Path) -> None:
    twin = original_emu3(tmp_path / "gen", tmp_path / "vision")
    with pytest.raises(BadInput, match="convert gen OUT --vq BAAI/Emu3-VisionTokenizer`"):
        SpatialPipeline.from_pretrained("gen")
    code, _, err = call("convert", "gen", "emu3")
    assert code == 2 and "expected --vq BAAI/Emu3-VisionTokenizer, or its folder" in err
    code, out, err = call("convert", "gen", "emu3", "--vq", "vision")
    assert (code, err) == (0, ""), err
    assert out.startswith("gen is Emu3 in BAAI's own layout\n")
    assert_same(weights_of(tmp_path / "emu3"), twin.state_dict())
    made = SpatialPipeline.from_pretrained("emu3")
    wrapped = SpatialPipeline(wrap(twin, Emu3Processor.from_pretrained("emu3")))
    asked = {"prompt": "a red apple", "size": "3x5", "seed": 0}
    ours, theirs = made(**asked), wrapped(**asked)
    assert ours.tokens == theirs.tokens and ours.images[0].tobytes() == theirs.images[0].tobytes()


def published_ids(text: str) -> list[int]:
    """As the published tokenizer merges bytes, in pieces that begin with a space or are one digit: the pair of the
    lowest rank first, the leftmost of equal ones."""
    ids: list[int] = []
    words = [[*word] if word.strip().isdigit() else [word] for word in text.replace(" ", "\0 ").split("\0")]
    for piece in (piece for pieces in words for piece in pieces):
        if piece.encode() in RANKS:
            ids.append(RANKS[piece.encode()])
            continue
        parts = [bytes([byte]) for byte in piece.encode()]
        while True:
            ranked = [(RANKS[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in RANKS]
            if not ranked:
                break
            i = min(ranked)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids += [RANKS[part] for part in parts]
    return ids


def test_the_tokenizer_of_emu3(call: Call, tmp_path: Path) -> None:
    original_emu3(tmp_path / "gen", tmp_path / "vision")
    assert call("convert", "gen", "emu3", "--vq", "vision")[0] == 0
    tokenizer = Emu3Processor.from_pretrained("emu3").tokenizer
    for text in ("a red apple", "a cat 42", "re\u0301d", "reded", " appapple", "ca\u00e9t", "\u7ea2\u82f9\u679c"):
        composed = text.replace("e\u0301", "\u00e9")  # NFC
        assert tokenizer(text)["input_ids"] == published_ids(composed), text
    assert tokenizer.convert_tokens_to_ids("<image>") == len(RANKS) + 3  # the place of an unused token
    assert tokenizer("<|image start|>9*9<|image token|>")["input_ids"][0] == len(RANKS) + 208 + 1


@pytest.mark.parametrize("shards", [1, 2])
def test_chameleon(call: Call, tmp_path: Path, shards: int) -> None:
    expected = original_chameleon(tmp_path / "anole", shards)
    with pytest.raises(BadInput, match="run `spatialspec convert anole OUT`"):
        SpatialPipeline.from_pretrained("anole")
    source = "anole" if shards == 2 else "anole/models/7b/consolidated.pth"
    code, out, err = call("convert", source, "made")
    assert (code, err) == (0, ""), err
    assert f"{source} is Chameleon or Anole in Meta's own layout\n" in out and "with its image decoder" in out
    assert_same(weights_of(tmp_path / "made"), expected)
    made = SpatialPipeline.from_pretrained("made")
    drawn = made(["a cat", "two dogs"], seed=0)
    assert drawn.tokens == made(["a cat", "two dogs"], seed=0, method="ar").tokens and drawn.images[0].width == 24


def test_queries_and_keys_are_rotated_as_published() -> None:
    """Scores between rotated queries and keys, in pairs of neighbours and, permuted, in halves: the same."""
    heads, head, n = 3, 8, 5
    torch.manual_seed(0)
    q, k, x = torch.randn(heads * head, 7), torch.randn(heads * head, 7), torch.randn(n, 7)
    angle = torch.outer(torch.arange(n), 10000.0 ** -(torch.arange(head // 2) / (head // 2)))

    def in_pairs(w: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex((x @ w.T).view(n, heads, head // 2, 2).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)[:, None]).flatten(2)

    def in_halves(w: torch.Tensor) -> torch.Tensor:
        a, b = (x @ w.T).view(n, heads, head).chunk(2, -1)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    published = torch.einsum("ihd,jhd->hij", in_pairs(q), in_pairs(k))
    ours = torch.einsum("ihd,jhd->hij", in_halves(halves(q, head)), in_halves(halves(k, head)))
    torch.testing.assert_close(ours, published)


def test_shards_are_read_as_one_file(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.full((100,), float(i)) for i in range(7)}
    write_shards(tmp_path, tensors, tmp_path, most=900)
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "model.safetensors.index.json"
    assert len(PublishedSource.find(tmp_path).weights) == 4
    assert_same(weights_of(tmp_path), tensors)


def test_what_is_refused_and_leaves_nothing(call: Call, tmp_path: Path) -> None:
    original_janus(tmp_path / "Janus-1.3B", tmp_path / "twin")
    assert "its authors draw with another template" in call("convert", "Janus-1.3B", "out")[2]
    good = tmp_path / "Janus-1.3B"
    good = good.rename(tmp_path / "pro")
    assert "got --vq, expected no such option for Janus" in call("convert", "pro", "out", "--vq", "pro")[2]
    assert "nothing is to be converted" in call("convert", "twin", "out")[2]
    assert "which exists, expected a new folder" in call("convert", "pro", "twin")[2]

    def edit(change: Callable[[Tensors], object], folder: Path) -> None:
        tensors = torch.load(folder / "pytorch_model.bin")
        change(tensors)
        torch.save(tensors, folder / "pytorch_model.bin")

    def absurd(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"language_config": {"hidden_size": "x"}}))

    damages: dict[str, Callable[[Path], object]] = {
        "got no file": lambda folder: (folder / "tokenizer.json").unlink(),
        "sizes that are none": absurd,
        "missing tensors": partial(edit, lambda tensors: tensors.pop("gen_vision_model.post_quant_conv.bias")),
        "not finite": partial(edit, lambda tensors: tensors["gen_embed.weight"].fill_(torch.nan)),
        "no weights in": lambda folder: (folder / "pytorch_model.bin").unlink(),
    }
    for said, spoil in damages.items():
        spoiled = Path(shutil.copytree(good, tmp_path / "spoiled"))
        spoil(spoiled)
        code, out, err = call("convert", "spoiled", "out")
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1, (said, err)
        shutil.rmtree(spoiled)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pro", "twin"]
