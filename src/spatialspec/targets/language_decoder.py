"""Runs the hidden layers of a language model of transformers: pre-norm states, explicit masks, optional compilation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
import transformers
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spatialspec.core.errors import BadInput
from spatialspec.core.grid import Layout
from spatialspec.targets.attention import grouped, grouped_mask
from spatialspec.targets.cache import Cache
from spatialspec.targets.slots import length

ATTENTION = ("sdpa", "eager")  # others ignore an explicit mask, or abort the process
GROWING = ("dynamic", "longrope")  # rotations of all tokens depend on the longest sequence of a pass


class LanguageDecoder:
    """The hidden layers of a language model, and its final norm as a separate module.

    The layers are shared with the model, which is not changed. The user may change it between two images, so its
    attention and parts are read at each use.

    Args:
        model: decoder of transformers, with `embed_tokens`, `layers`, `norm` and `config` (LlamaModel, Emu3TextModel,
            ChameleonModel).

    Attributes:
        model: as above.
        positions: longest sequence that it was trained on.

    Raises:
        BadInput: see `begin`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        config: Any = model.config
        parameters = inspect.signature(type(model).forward).parameters
        self._keyword = "cache" if "cache" in parameters else "past_key_values"  # older releases, until 5.40
        self.positions = int(config.max_position_embeddings)
        self._trunk: Any = None
        self.begin()

    def begin(self) -> None:
        """Read the parts of the model before a session, and check that it can be run.

        Raises:
            BadInput: its attention takes no explicit mask, rotations depend on the longest sequence, its embedding is
                no nn.Embedding, or weights are offloaded.
        """
        model = self.model
        _ = self.attention
        kind = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default")
        if kind in GROWING:
            raise BadInput(
                f"rope_type {kind!r}", "rotations that do not change while a sequence grows", "they differ from AR's"
            )
        if not isinstance(model.embed_tokens, nn.Embedding):
            raise BadInput(
                f"a text embedding of class {type(model.embed_tokens).__name__}",
                "nn.Embedding",
                "merge adapters first, and leave embeddings unquantised",
            )
        if any(weight.is_meta for weight in model.parameters()):
            raise BadInput("weights offloaded to disk or to the CPU", "all on devices", "give a device_map")
        parts = {**model._modules, "norm": nn.Identity()}
        old = {} if self._trunk is None else self._trunk._modules
        if any(old.get(name) is not part for name, part in parts.items() if name != "norm"):
            # A second object with the same layers and no norm, as transformers returns only normed states. Hooks of a
            # device map are on the layers; a wrapped `forward` would call the original model.
            self._trunk = copy.copy(model)
            self._trunk._modules = parts
            self._trunk.__dict__.pop("forward", None)
        self._trunk.config, self._trunk.training = model.config, model.training

    @property
    def attention(self) -> str:
        """The current attention implementation.

        Raises:
            BadInput: it takes no explicit mask.
        """
        name: str = self.model.config._attn_implementation
        if name not in ATTENTION:
            raise BadInput(
                f"attention {name!r}",
                f"one of {', '.join(ATTENTION)}, which take the masks of trees",
                'call model.set_attn_implementation("sdpa")',
            )
        return name

    def check_ids(
        self, prompts: Sequence[Sequence[int]], forced: tuple[Sequence[int], Sequence[int]], layout: Layout
    ) -> None:
        """Refuse ids that the embedding does not have, and prompts that do not fit in front of an image.

        Args:
            prompts: ids of their tokens.
            forced: ids that follow each row, and each grid but the last.
            layout: of the image.

        Raises:
            BadInput: there is one.
        """
        most, known = max(map(max, filter(None, (*prompts, *forced)))), self.embedding.num_embeddings
        if most >= known:
            raise BadInput(f"token {most} in a prompt", f"less than {known}", "the tokenizer is another model's")
        longest, room = max(map(len, prompts)), self.positions - length(layout, *map(len, forced))
        if longest > room:
            got, expected = f"a prompt of {longest} tokens", f"at most {room} in front of {layout.grids[-1]}"
            raise BadInput(got, expected, "shorten it, or draw a smaller grid")

    @property
    def _heads(self) -> tuple[int, int]:
        """Numbers of query heads, and of heads of keys and values."""
        heads = int(self.model.config.num_attention_heads)
        return heads, int(getattr(self.model.config, "num_key_value_heads", None) or heads)

    @property
    def slot_bytes(self) -> int:
        """Bytes of the keys and values of one token in one layer."""
        (heads, shared), config = self._heads, self.model.config
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        return 2 * shared * width * self.dtype.itemsize

    @property
    def norm(self) -> nn.Module:
        """Final norm."""
        return cast("nn.Module", self.model.norm)

    @property
    def embedding(self) -> nn.Embedding:
        """Embedding of text tokens."""
        return cast("nn.Embedding", self.model.embed_tokens)

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.model.layers)

    @property
    def device(self) -> torch.device:
        """Device of the text embedding."""
        return self.embedding.weight.device

    @property
    def devices(self) -> list[torch.device]:
        """Device of every layer."""
        return [next(layer.parameters()).device for layer in self.model.layers]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the text embedding."""
        return self.embedding.weight.dtype

    def __call__(
        self,
        x: Float[Tensor, "B N d"],
        mask: Bool[Tensor, "B 1 N S"],
        positions: Int[Tensor, "*axes B N"],
        cache: Cache,
        states: list[Tensor] | None = None,
    ) -> Float[Tensor, "B N d"]:
        """Embedded slots -> pre-norm states, on the device of `x`.

        Args:
            x: embedded slots.
            mask: slots of the cache that each slot attends to, at least one.
            positions: of the slots, by which they are rotated; on several axes for a model that has them.
            cache: after `begin` of this pass.
            states: the states after every layer are appended, each on the layer's device.
        """
        sdpa = self.attention == "sdpa"
        heads, shared = self._heads
        groups = heads // shared if sdpa else 1
        bias = grouped_mask(mask, groups) if sdpa else _additive(mask, x.dtype)
        with grouped(self.model.config) if groups > 1 else nullcontext():
            hidden: tuple[Tensor, ...] = self._forward(x, bias, positions, cache, states is not None)
        if states is not None:
            states.extend(hidden)
        return hidden[-1].to(x.device)

    def _forward(self, x: Tensor, mask: Tensor, positions: Tensor, cache: Cache, every: bool) -> tuple[Tensor, ...]:
        """States after every layer, or after the last alone."""
        out = self._trunk(
            inputs_embeds=x, attention_mask=mask, position_ids=positions, use_cache=True, output_hidden_states=every,
            return_dict=True,
            **{self._keyword: _Adapter(cache)},
        )  # fmt: skip
        return out.hidden_states[1:] if every else (out.last_hidden_state,)


class _Adapter(transformers.Cache):
    """The cache behind the interface of transformers."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(layers=[])
        self._cache = cache

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by every layer."""
        return self._cache.write(layer_idx, key_states, value_states)


def _additive(mask: Bool[Tensor, "B 1 N S"], dtype: torch.dtype) -> Float[Tensor, "B 1 N S"]:
    """The mask as eager attention adds it to the scores; it would add booleans as numbers."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def apply(module: nn.Module, x: Tensor) -> Tensor:
    """Run a module on the device of its weights; the result is on the device of `x`."""
    weight = next(module.parameters())
    return module(x.to(weight.device)).to(x.device)
