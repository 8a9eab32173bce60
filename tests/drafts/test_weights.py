"""Folders of draft weights: those that ship, old ones, the Hub's mixin."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi

from helpers.lessons import equal
from spatialspec.core.grid import Grid
from spatialspec.drafts import weights
from spatialspec.drafts.weights import DraftModel
from spatialspec.methods.hawk import HawkConfig, HawkHeads
from spatialspec.methods.predictors import SSDConfig, SSDPredictors
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.models import WEIGHTS
from spatialspec.targets.loading import load_target

CARD = "---\nlicense: apache-2.0\n---\n# a card\n"


def model() -> DraftModel:
    torch.manual_seed(0)
    heads = HawkHeads(HawkConfig(8, 1, 2))
    torch.nn.init.normal_(heads.vertical)
    return DraftModel(heads.to(torch.bfloat16), "tiny", "0123", Grid(3, 4), CARD)


@pytest.mark.parametrize("folder", sorted((WEIGHTS / "icons" / "drafts").glob("*/")), ids=lambda folder: folder.name)
def test_shipped_drafts_load(folder: Path) -> None:
    found = DraftModel.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert found.algorithm == folder.name == config["speculators_config"]["algorithm"]
    assert found.target == "icons" and found.card == (folder / "README.md").read_text()
    assert any(tensor.abs().max() > 0.01 for tensor in found.drafts.state_dict().values())
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        target = load_target(WEIGHTS / "icons", dtype=dtype)
        assert target.fingerprint == found.fingerprint and weights.load(folder, target).config == found.drafts.config


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    made = model()
    made.save_pretrained(tmp_path)
    found = DraftModel.from_pretrained(tmp_path)
    assert equal(found.drafts.to(torch.bfloat16).state_dict(), made.drafts.state_dict())
    assert (found.target, found.fingerprint, found.grid, found.card) == ("tiny", "0123", Grid(3, 4), CARD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    ssd = DraftModel(SSDPredictors(SSDConfig(8, 1, 2)), "tiny", "0123")
    assert ssd.config["speculators_config"]["algorithm"] == "ssd" and "grid" not in ssd.config


def test_a_folder_without_a_grid_loads(tmp_path: Path) -> None:
    model().write(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("grid", "architectures"):
        del config[key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert DraftModel.read(tmp_path).grid is None
    config["sizes"]["depth"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="sizes: got the key 'depth', expected one of width, horizontal, vertical"):
        DraftModel.read(tmp_path)


@pytest.mark.parametrize("tokens", [[3, 3], [5, 2], [-1, 2]], ids=["twice", "out of order", "negative"])
def test_a_vocabulary_that_would_lose_mass_is_refused(tmp_path: Path, tokens: list[int]) -> None:
    network = SpatialNetwork(SpatialModelConfig(16, vocabulary=2))
    network.vocabulary.tokens.copy_(torch.tensor(tokens))
    DraftModel(network, "tiny", "0123").write(tmp_path)
    with pytest.raises(ValueError, match="expected ascending tokens"):
        DraftModel.read(tmp_path)


def test_push_to_hub_sends_weights_config_and_card(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, bytes] = {}

    def create_repo(api: HfApi, repo_id: str, **_: object) -> object:
        return type("Repo", (), {"repo_id": repo_id})

    def upload_folder(api: HfApi, folder_path: Path, **_: object) -> str:
        sent.update({path.name: path.read_bytes() for path in Path(folder_path).iterdir()})
        return "done"

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    assert model().push_to_hub("me/drafts") == "done"
    assert sent.keys() == {"README.md", "config.json", "model.safetensors"}
    assert sent["README.md"].decode() == CARD and json.loads(sent["config.json"]) == model().config


def test_from_the_hub_only_those_files_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model().write(tmp_path)
    asked: list[dict[str, object]] = []

    def snapshot_download(name: str, **options: object) -> str:
        asked.append({"name": name, **options})
        return str(tmp_path)

    monkeypatch.setattr(weights, "snapshot_download", snapshot_download)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(tmp_path / "config.json"))
    found = DraftModel.from_pretrained("me/drafts", revision="v1")
    assert found.grid == Grid(3, 4)
    (call,) = asked
    assert call["name"] == "me/drafts" and call["revision"] == "v1"
    assert call["allow_patterns"] == ["config.json", "model.safetensors", "README.md"]


def test_a_full_disk_leaves_the_old_drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    model().write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(tensors: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match=r"could not be written .*No space left on device.*make room"):
        model().write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
