"""From the command line: a tiny Janus on disk, two training steps of drafts, an image with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.tiny import call_main
from helpers.tiny_checkpoints import tiny_janus
from spatialspec.targets.registry import shipped


@pytest.mark.parametrize(
    ("drafter", "method"), [("hawk", "hawk"), ("ssd", "ssd-strict"), ("hydra", "hydra"), ("eagle", "eagle")]
)
def test_drafts_for_a_checkpoint(
    drafter: str, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny_janus(Path("model"))
    Path("prompts.txt").write_text("a red apple\ntwo cats on a mat\na blue house\na house by the sea\n" * 12)
    capsys.readouterr()  # what writing the checkpoint printed
    train = [
        "train",
        "draft",
        "--target",
        "model",
        "--drafter",
        drafter,
        "--self-distil",
        "prompts.txt",
        "--vertical",
        0 if drafter == "eagle" else 2,
    ]
    code, out, err = call_main(capsys, *train, "--pictures", 4, "--steps", 2, "--batch", 2, "--out", "mine")
    assert (code, err) == (0, "") and "wrote mine" in out
    asked = ["a red apple", "--model", "model", "--out", "out.png", "--json", "figures.json", "--compare"]
    code, out, err = call_main(capsys, "generate", *asked, "--draft", "mine", "--method", method)
    assert (code, err) == (0, ""), err
    ar, made = json.loads(Path("figures.json").read_text())["methods"]
    assert ar["method"] == "ar" and ar["target_passes"] == 16
    assert made["same_tokens_as_ar"] == 1 and made["exact"] and made["target_passes"] <= 16


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for a grid that the model cannot draw, and for a checkpoint that lacks a file."""
    monkeypatch.chdir(tmp_path)
    tiny_janus(Path("model"))
    capsys.readouterr()
    code, _, err = call_main(capsys, "generate", "a red apple", "--model", "model", "--size", "3x4")
    assert code == 2 and err == "error: got size 3x4, expected 4x4: model draws no other\n"
    (Path("model") / "model.safetensors").unlink()
    code, _, err = call_main(capsys, "generate", "a red apple", "--model", "model")
    assert code == 2 and err.count("\n") == 1 and "expected a checkpoint of JanusForConditionalGeneration" in err


def test_models_lists_the_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call_main(capsys, "models")
    assert code == 0
    names = "deepseek-community/Janus-Pro-1B, deepseek-community/Janus-Pro-7B"
    assert f"  janus: {names}: grid 24x24, vocabulary 16384, licence DeepSeek" in out
    for kind in shipped():
        assert f"  {kind.name}: " in out or f"  {kind.name.partition('_')[0]}: " in out
    assert "no published drafts" in out
