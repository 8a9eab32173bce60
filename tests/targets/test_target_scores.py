"""One pass over a tree against the model of transformers over one whole sequence, without a cache.

Equal to 1e-5 of the largest logit, in fp32.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    Emu3ForConditionalGeneration,
    GemmaForCausalLM,
    JanusForConditionalGeneration,
    Qwen2ForCausalLM,
)

from helpers.covering import covering
from helpers.passes import keep
from helpers.tiny_causal import tiny_liquid, tiny_simplear
from helpers.tiny_chameleon import write_anole, write_lumina
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec.core.grid import Grid
from spatialspec.core.proposal import ROOT, Proposal
from spatialspec.core.sampling import Sampling
from spatialspec.core.state import State
from spatialspec.core.step import Verdict
from spatialspec.targets.chameleon.lumina import ChameleonXLLMXForConditionalGeneration
from spatialspec.targets.chameleon.target import Anole
from spatialspec.targets.language_target import LanguageTarget
from spatialspec.targets.loading import wrap
from spatialspec.targets.runners import Padded, Runner

KINDS: dict[str, tuple[Any, Any, str]] = {  # class, what reads prompts, size
    "janus": (JanusForConditionalGeneration, AutoProcessor, "4x4"),
    "emu3": (Emu3ForConditionalGeneration, AutoProcessor, "3x5"),
    "anole": (Anole, AutoTokenizer, "6x6"),
    "swin": (Anole, AutoTokenizer, "6x6"),
    "lumina": (ChameleonXLLMXForConditionalGeneration, AutoTokenizer, "4x6"),
    "liquid": (GemmaForCausalLM, AutoTokenizer, "4x4"),
    "simplear": (Qwen2ForCausalLM, AutoTokenizer, "4x4"),
}
PROMPTS = ["a cat", "two dogs and a rather long fish"]  # of different lengths, like their unconditional rows


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("checkpoints")
    anole, swin = write_anole(base / "anole"), write_anole(base / "swin", swin_norm=True)
    made = {"anole": anole, "swin": swin, "lumina": write_lumina(base / "lumina")}
    made |= {"liquid": tiny_liquid(base / "liquid"), "simplear": tiny_simplear(base / "simplear")}
    return made | {"janus": tiny_janus(base / "janus"), "emu3": tiny_emu3(base / "emu3")}


def load(folder: Path, attention: str) -> tuple[Any, LanguageTarget]:
    """A model as users load it, and the target around it."""
    kind, processor, _ = KINDS[folder.name]
    model = kind.from_pretrained(folder, attn_implementation=attention).eval().requires_grad_(False)
    target = wrap(model, processor.from_pretrained(folder))
    assert isinstance(target, LanguageTarget) and target.decoder.attention == attention
    return model, target


class Reference:
    """Logits of image tokens behind a prompt and image tokens, from the model of transformers alone."""

    def __init__(self, model: Any, target: Any, grid: Grid) -> None:
        self.model, self.target, self.grid = model, target, grid
        self.logits = cache(self._janus if "janus" in target.name else self._logits)

    def _logits(self, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> Tensor:
        """Of a model whose image tokens are in its vocabulary; behind each row but the last stands a row end."""
        ids = list(prompt)
        for cell, token in enumerate(tokens):
            ids.append(int(self.target.ids[token]))
            if cell % self.grid.columns == self.grid.columns - 1 and cell < self.grid.cells - 1:
                ids += self.target.row_end
        states = self.model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        return self.model.lm_head(states)[self.target.ids]

    def _janus(self, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> Tensor:
        language = self.model.model.language_model
        read = [language.embed_tokens(torch.tensor(prompt))]
        read.append(self.model.prepare_embeddings_for_image_generation(torch.tensor(tokens, dtype=torch.long)))
        states = language(inputs_embeds=torch.cat(read)[None]).last_hidden_state[0, -1]
        return self.model.model.generation_head(states)


def tree(state: State, vocabulary: int, rng: random.Random) -> Proposal:
    """Some drafts, in any shape, to behind the next row end and no further than the last cell."""
    proposal = Proposal()
    for _ in range(rng.randint(0, 8)):
        parent = rng.choice([ROOT, *range(len(proposal)), *range(len(proposal))])
        cell = state.frontier if parent == ROOT else proposal.cells[parent] + 1
        if cell < state.layout.cells:
            proposal.add(cell, rng.randrange(vocabulary), parent)
    return proposal


def accept(state: State, proposal: Proposal, vocabulary: int, rng: random.Random) -> Verdict:
    """A random path, and a token behind it where there is a cell for it."""
    path: list[int] = []
    while children := [n for n, up in enumerate(proposal.parents) if up == (path[-1] if path else ROOT)]:
        if rng.random() < 0.3:
            break
        path.append(rng.choice(children))
    full = state.frontier + len(path) == state.layout.cells
    return Verdict(tuple(path), None if full else rng.randrange(vocabulary))


@pytest.mark.parametrize(("kind", "how"), covering(KINDS, product(["sdpa", "eager"], [Runner, Padded])))
def test_one_pass_scores_a_tree_like_the_model_alone(
    folders: dict[str, Path], kind: str, how: tuple[str, type[Runner]]
):
    """Left-padded unconditional rows, images that accept differently, paths that were compacted, row ends."""
    attention, runner = how
    model, target = load(folders[kind], attention)
    target.runner = runner()
    grid, rng = Grid.parse(KINDS[kind][2]), random.Random(0)
    reference = Reference(model, target, grid)
    prompts = target.prompt_ids(PROMPTS, [""] * len(PROMPTS), 2, grid)
    session = target.session(PROMPTS, [""] * len(PROMPTS), Sampling(guidance=2.0), grid)
    states, images, worst, passes = [State(grid), State(grid)], [0, 1], 0.0, 0
    while images:
        proposals = [tree(states[i], target.vocabulary, rng) for i in images]
        scored = session.score([states[i] for i in images], proposals)
        for place, (i, proposal, scores) in enumerate(zip(images, proposals, scored, strict=True)):
            state = states[i]
            drafted = [tuple(proposal.tokens[up] for up in above(proposal, node)) for node in range(len(proposal))]
            for stream in range(2):
                prompt, written = tuple(prompts[2 * i + stream]), [state.tokens + path for path in [(), *drafted]]
                wanted = torch.stack([reference.logits(prompt, tokens) for tokens in written])
                assert wanted.std() > 0.1, "flat logits would hide every mistake"
                assert scores.logits[stream].shape == wanted.shape
                worst = max(worst, float((scores.logits[stream] - wanted).abs().max() / wanted.abs().max()))
            states[i] = keep(session, place, state, proposal, accept(state, proposal, target.vocabulary, rng))
            passes += 1
        session.drop([place for place, i in enumerate(images) if states[i].complete])
        images = [i for i in images if not states[i].complete]
    assert 10 < passes < 2 * grid.cells, "some drafts were accepted, not all"
    assert worst <= 1e-5


def above(proposal: Proposal, node: int) -> list[int]:
    """A node's branch from the root to itself."""
    branch = [node]
    while proposal.parents[branch[0]] != ROOT:
        branch.insert(0, proposal.parents[branch[0]])
    return branch
