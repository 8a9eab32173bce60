"""Tiny LlamaGen checkpoints in the layout of the published ones, and dense re-implementations of model and decoder.

Names and shapes are written out here by hand; nothing of the package's own model code is used.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from spatialspec.targets.llamagen.convert import convert

CODES, WIDTH, HEADS, LAYERS, INNER = 64, 32, 2, 2, 48
CLASSES, PREFIX, CAPTION = 1000, 12, 24
SIDE, PATCH = 6, 2
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "apple", "cat", "two", "blue", "hearts"]
Tensors = dict[str, Tensor]


def transformer_tensors(kind: str, seed: int = 0) -> Tensors:
    """What a published transformer holds, with large enough weights for every token to matter."""
    shapes: dict[str, tuple[int, ...]] = {
        "tok_embeddings.weight": (CODES, WIDTH),
        "norm.weight": (WIDTH,),
        "output.weight": (CODES, WIDTH),
    }
    if kind == "class":
        shapes["cls_embedding.embedding_table.weight"] = (CLASSES + 1, WIDTH)
    elif kind == "codes":
        shapes |= {"clip_proj.weight": (WIDTH, CAPTION), "clip_proj.bias": (WIDTH,)}
        shapes["abs_pe"] = (1, PREFIX + SIDE * SIDE - 1, WIDTH)
    else:
        shapes["cls_embedding.uncond_embedding"] = (PREFIX, CAPTION)
        shapes["cls_embedding.cap_proj.fc1.weight"] = (WIDTH, CAPTION)
        shapes["cls_embedding.cap_proj.fc2.weight"] = (WIDTH, WIDTH)
    for i in range(LAYERS):
        shapes[f"layers.{i}.attention.wqkv.weight"] = (3 * WIDTH, WIDTH)
        shapes[f"layers.{i}.attention.wo.weight"] = (WIDTH, WIDTH)
        shapes[f"layers.{i}.feed_forward.w1.weight"] = (INNER, WIDTH)
        shapes[f"layers.{i}.feed_forward.w3.weight"] = (INNER, WIDTH)
        shapes[f"layers.{i}.feed_forward.w2.weight"] = (WIDTH, INNER)
        shapes[f"layers.{i}.attention_norm.weight"] = (WIDTH,)
        shapes[f"layers.{i}.ffn_norm.weight"] = (WIDTH,)
    draw = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(shape, generator=draw) + (len(shape) == 1) for name, shape in shapes.items()}


def vq_tensors(seed: int = 0, channels: int = 32) -> Tensors:
    """Code book and a decoder of two levels, with the encoder's leftovers."""
    shapes: dict[str, tuple[int, ...]] = {
        "quantize.embedding.weight": (CODES, 8),
        "post_quant_conv.weight": (channels, 8, 1, 1),
        "decoder.conv_in.weight": (2 * channels, channels, 3, 3),
        "decoder.conv_blocks.0.upsample.conv.weight": (2 * channels, 2 * channels, 3, 3),
        "decoder.conv_blocks.1.res.0.nin_shortcut.weight": (channels, 2 * channels, 1, 1),
        "decoder.norm_out.weight": (channels,),
        "decoder.conv_out.weight": (3, channels, 3, 3),
        "encoder.conv_in.weight": (channels, 3, 3, 3),
        "quant_conv.weight": (8, channels, 1, 1),
    }
    places = [("mid.0", 2, 2), ("mid.2", 2, 2), *((f"conv_blocks.0.res.{i}", 2, 2) for i in range(3))]
    places += [(f"conv_blocks.1.res.{i}", 2 if i == 0 else 1, 1) for i in range(3)]
    for place, a, b in places:
        shapes[f"decoder.{place}.norm1.weight"] = (a * channels,)
        shapes[f"decoder.{place}.conv1.weight"] = (b * channels, a * channels, 3, 3)
        shapes[f"decoder.{place}.norm2.weight"] = (b * channels,)
        shapes[f"decoder.{place}.conv2.weight"] = (b * channels, b * channels, 3, 3)
    for place in ("mid.1", *(f"conv_blocks.0.attn.{i}" for i in range(3))):
        shapes[f"decoder.{place}.norm.weight"] = (2 * channels,)
        shapes |= {f"decoder.{place}.{n}.weight": (2 * channels,) * 2 + (1, 1) for n in ("q", "k", "v", "proj_out")}
    biases = {n.replace(".weight", ".bias"): s[:1] for n, s in shapes.items() if "embedding" not in n}
    draw = torch.Generator().manual_seed(seed)
    made = {n: torch.randn(s, generator=draw) / math.sqrt(math.prod(s[1:])) for n, s in (shapes | biases).items()}
    return made | {"quantize.codebook_used": torch.zeros(65536)}


def write_files(folder: Path, kind: str, seed: int = 0) -> tuple[Path, Path]:
    """A training checkpoint of the transformer, named as the published ones, and one of the picture decoder."""
    folder.mkdir(parents=True, exist_ok=True)
    source, vq = folder / f"{kind}_tiny_{SIDE * PATCH}.pt", folder / "vq_ds2.pt"
    tables = {"freqs_cis": torch.zeros(1), "layers.0.attention.kv_cache.k_cache": torch.zeros(1)}
    whole = {"model": transformer_tensors(kind, seed) | tables, "steps": 7, "args": Namespace(gpt_model="GPT-B")}
    torch.save(whole, source)
    torch.save({"model": vq_tensors(seed)}, vq)
    return source, vq


def tiny_folder(folder: Path, kind: str, seed: int = 0) -> Path:
    """A converted model."""
    source, vq = write_files(folder / "published", kind, seed)
    convert(source, folder / "model", vq=vq, heads=HEADS)
    return folder / "model"


def tiny_t5(folder: Path) -> Path:
    """A tiny T5 as transformers saves it."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = T5Config(
        vocab_size=len(WORDS), d_model=CAPTION, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    T5EncoderModel(sizes).eval().save_pretrained(folder)
    return folder


def condition(tensors: Mapping[str, Tensor], given: int | Tensor) -> Tensor:
    """Prefix states (P, d) of a class id, or of features (P, c) that are padded to the whole prefix."""
    if isinstance(given, int):
        return tensors["cls_embedding.embedding_table.weight"][given][None]
    x = given @ tensors["cls_embedding.cap_proj.fc1.weight"].T
    x = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x @ tensors["cls_embedding.cap_proj.fc2.weight"].T


def reference(t: Mapping[str, Tensor], prefix: Tensor, seen: Tensor, tokens: list[int], columns: int) -> Tensor:
    """Logits (tokens + 1, V) behind the prefix and each token: dense, no cache, rotations as complex numbers.

    Slots of the condition are multiplied by 0 where cells are rotated; those that are not `seen` see themselves only.
    AR-DTok embeds positions and rotates none.
    """
    p, n, size = len(prefix), len(prefix) + len(tokens), WIDTH // HEADS
    cells = torch.arange(len(tokens))
    frequency = 1.0 / 10000 ** (torch.arange(0, size // 2, 2) / (size // 2))
    angle = torch.cat([torch.outer(cells // columns, frequency), torch.outer(cells % columns, frequency)], dim=1)
    turn = torch.cat([torch.zeros(p, size // 2, dtype=torch.complex64), torch.polar(torch.ones_like(angle), angle)])
    allowed = torch.ones(n, n).tril().bool()
    allowed[:, :p] &= seen
    allowed |= torch.eye(n, dtype=torch.bool)

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    def rotated(x: Tensor) -> Tensor:
        return torch.view_as_real(torch.view_as_complex(x.reshape(n, -1, 2)) * turn).reshape(n, size)

    x = torch.cat([prefix, t["tok_embeddings.weight"][tokens]])
    if "abs_pe" in t:
        x, turn = x + t["abs_pe"][0, :n], torch.ones_like(turn)
    for i in range(LAYERS):
        name = f"layers.{i}."
        q, k, v = (norm(x, t[name + "attention_norm.weight"]) @ t[name + "attention.wqkv.weight"].T).chunk(3, dim=1)
        heads = []
        for part in (slice(h * size, (h + 1) * size) for h in range(HEADS)):
            score = rotated(q[:, part]) @ rotated(k[:, part]).T / math.sqrt(size)
            heads.append(score.masked_fill(~allowed, -math.inf).softmax(-1) @ v[:, part])
        x = x + torch.cat(heads, dim=1) @ t[name + "attention.wo.weight"].T
        y = norm(x, t[name + "ffn_norm.weight"])
        gate, up = y @ t[name + "feed_forward.w1.weight"].T, y @ t[name + "feed_forward.w3.weight"].T
        x = x + (gate * torch.sigmoid(gate) * up) @ t[name + "feed_forward.w2.weight"].T
    return (norm(x, t["norm.weight"]) @ t["output.weight"].T)[p - 1 :]


def reference_picture(t: Mapping[str, Tensor], codes: Tensor) -> Tensor:
    """Pixels (3, H, W), not clamped, of codes (h, w): the decoder function by function."""

    def conv(name: str, x: Tensor) -> Tensor:
        weight = t[name + ".weight"]
        return F.conv2d(x, weight, t[name + ".bias"], padding=weight.shape[2] // 2)

    def norm(name: str, x: Tensor) -> Tensor:
        return F.group_norm(x, 32, t[name + ".weight"], t[name + ".bias"], eps=1e-6)

    def swish(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    def res(name: str, x: Tensor) -> Tensor:
        y = conv(name + ".conv2", swish(norm(name + ".norm2", conv(name + ".conv1", swish(norm(name + ".norm1", x))))))
        return y + (conv(name + ".nin_shortcut", x) if name + ".nin_shortcut.weight" in t else x)

    def attend(name: str, x: Tensor) -> Tensor:
        y = norm(name + ".norm", x)
        q, k, v = (conv(f"{name}.{part}", y)[0].flatten(1) for part in "qkv")
        weight = (q.T @ k / math.sqrt(len(q))).softmax(1)
        return x + conv(name + ".proj_out", (v @ weight.T).view_as(x))

    book = t["quantize.embedding.weight"]
    x = (book / book.norm(dim=1, keepdim=True))[codes].permute(2, 0, 1)[None]
    x = conv("decoder.conv_in", conv("post_quant_conv", x))
    x = res("decoder.mid.2", attend("decoder.mid.1", res("decoder.mid.0", x)))
    for i in range(3):
        x = attend(f"decoder.conv_blocks.0.attn.{i}", res(f"decoder.conv_blocks.0.res.{i}", x))
    x = conv("decoder.conv_blocks.0.upsample.conv", x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    for i in range(3):
        x = res(f"decoder.conv_blocks.1.res.{i}", x)
    return conv("decoder.conv_out", swish(norm("decoder.norm_out", x)))[0]
