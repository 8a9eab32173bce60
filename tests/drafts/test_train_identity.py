"""A target whose blocks alone were trained further: its fingerprint stays, but no kept work is taken for its own."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.lessons import corpus, heads
from helpers.real_targets import MAKES
from helpers.tiny import tiny_folder, tiny_target
from helpers.tiny_checkpoints import tiny_emu3, tiny_janus
from spatialspec.drafts.distil import self_distil
from spatialspec.drafts.features import Prepared
from spatialspec.drafts.teacher import move
from spatialspec.drafts.trainer import state_folder
from spatialspec.io.identity import identity
from spatialspec.targets.icons.target import IconsTarget
from spatialspec.targets.loading import load_target


def trained_further() -> IconsTarget:
    target = tiny_target()
    with torch.no_grad():
        target.model.blocks[1].down.weight.mul_(1.5)
    return target


def test_drawn_pictures_are_not_those_of_other_blocks(tmp_path: Path) -> None:
    one, other = tiny_target(), trained_further()
    assert one.fingerprint == other.fingerprint and identity(one) != identity(other)
    drawn = [self_distil(target, ["a cat"], tmp_path, report=lambda line: None) for target in (one, other, one)]
    assert len(os.listdir(tmp_path)) == 2 and torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1]), "the blocks do not matter: the test would see nothing"


def test_prepared_states_are_not_those_of_other_blocks(tmp_path: Path) -> None:
    pictures = corpus(2)
    made = partial(Prepared, corpus=pictures, pairs={(0, False)}, folder=tmp_path, batch=1, report=lambda line: None)
    asked = torch.tensor([0]), torch.tensor([False])
    states = [made(target)(*asked) for target in (tiny_target(), trained_further())]
    assert len(os.listdir(tmp_path)) == 2 and not torch.allclose(*states)


def test_a_training_does_not_go_on_with_other_blocks(tmp_path: Path) -> None:
    folders = {
        state_folder(tmp_path, target.fingerprint, heads("hawk", target=target))
        for target in (tiny_target(), trained_further(), tiny_target())
    }
    assert len(folders) == 2


@pytest.mark.parametrize("write", [tiny_folder, tiny_janus])
def test_the_same_folder_is_the_same_target(tmp_path: Path, write) -> None:
    folder = write(tmp_path)
    target = load_target(folder)
    before = identity(target)
    self_distil(target, ["a cat"], tmp_path / "drawn", report=lambda line: None)
    assert identity(target) == before == identity(load_target(folder)), "use or loading changes it"
    assert before.startswith(target.fingerprint)
    assert identity(load_target(folder, dtype=torch.bfloat16)) != before


def test_blocks_of_a_language_model_count(tmp_path: Path) -> None:
    target = load_target(tiny_janus(tmp_path))
    before = identity(target)
    with torch.no_grad():
        target.parts.language_model.layers[0].mlp.up_proj.weight.mul_(1.01)
    after = identity(target)
    assert after != before and after.partition("-")[0] == before.partition("-")[0] == target.fingerprint


@pytest.mark.parametrize("write", [tiny_folder, tiny_janus, tiny_emu3])
def test_all_of_a_target_is_moved_but_what_is_said(tmp_path: Path, write) -> None:
    target = load_target(write(tmp_path))
    kept = max((m for n in target.networks for m in n.modules() if isinstance(m, nn.ModuleList)), key=len)
    inside = {id(tensor) for tensor in kept.parameters()}
    move(target, torch.float64, set(kept.modules()))  # a type stands in for a device: here is but one
    assert all(tensor.dtype == torch.float32 for tensor in kept.parameters())
    found = [tensor for n in target.networks for tensor in [*n.parameters(), *n.buffers()] if id(tensor) not in inside]
    found += [value for value in vars(target).values() if isinstance(value, torch.Tensor)]
    assert len(found) > 5 and all(tensor.dtype == torch.float64 for tensor in found), "something stays behind"


@pytest.mark.parametrize("kind", MAKES)
def test_every_network_of_a_target_counts(tmp_path: Path, kind: str) -> None:
    target = load_target(MAKES[kind].make(tmp_path / kind))
    parts = [part for part in vars(target).values() if isinstance(part, nn.Module)]
    every = {module for network in target.networks for module in network.modules()}
    assert parts and every.issuperset(parts) and target.transformer in every
