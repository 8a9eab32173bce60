"""`train draft` from the command line: settings, folders that draw, cards, trackers, one line for bad input."""

import json
import re
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, on_main_process
from safetensors import safe_open

from helpers.lessons import heads, run
from helpers.tiny import call_main, tiny_folder, write_pictures
from spatialspec.core.grid import Grid
from spatialspec.core.interfaces import Target
from spatialspec.drafts import weights
from spatialspec.drafts.draft import accelerator
from spatialspec.drafts.recipes import make_recipe, read_config, shipped
from spatialspec.drafts.registry import kinds
from spatialspec.drafts.task import DraftTask
from spatialspec.drafts.trainer import train
from spatialspec.generation import generate
from spatialspec.methods.method import Method
from spatialspec.methods.registry import methods
from spatialspec.request import Request
from spatialspec.targets.loading import load_target

FIGURE = r"\| {} \| -?0\.\d+ \|"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run `train draft` in a folder with a target and images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny_folder(Path("target"))
    write_pictures(Path("pictures"))
    return partial(call_main, capsys, "train", "draft", "--target", "target")


@pytest.mark.parametrize("drafter", kinds())
def test_a_target_in_bf16(call, drafter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is bf16, its states too where they are prepared; the drafts are not."""
    kinds, learned = [], []

    def watched(folder: Path, device: str, dtype: torch.dtype) -> Target:
        kinds.append(dtype)
        return load_target(folder, device, dtype)

    def train_watched(task: DraftTask, *rest: object) -> object:
        made = train(task, *rest)  # type: ignore[arg-type]
        learned.extend(part.dtype for part in made[0].parameters())
        return made

    monkeypatch.setattr("spatialspec.targets.loading.load_target", watched)
    monkeypatch.setattr("spatialspec.drafts.draft.train", train_watched)
    Path("prompts.txt").write_text("a red apple\na blue car\na dog\n")
    options = ["--drafter", drafter, "--dtype", "bf16", "--steps", 1, "--batch", 2, "--features", "states"]
    code, _, err = call(*options, "--self-distil", "prompts.txt", "--out", "made")
    assert (code, err) == (0, "")
    assert kinds == [torch.bfloat16] and set(learned) == {torch.float32}
    for path in Path("states").rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert file.get_slice("hidden").get_dtype() == "BF16"
    assert "--dtype bf16" in Path("made/README.md").read_text()


def test_a_type_that_there_is_not(call) -> None:
    code, _, err = call("--dtype", "int8", "--data", "pictures")
    assert code == 2 and "dtype 'int8', expected one of fp32, bf16, fp16" in err


def test_a_config_and_options_become_drafts_with_a_card(call) -> None:
    settings = ["drafter: hawk", "pictures: 9", "horizontal: 1", "steps: 9", "objective: total-variation"]
    Path("mine.yaml").write_text("\n".join([*settings, "evaluate_every: 1"]))
    options = ["--config", "mine.yaml", "--data", "pictures", "--steps", 2, "--batch", 2, "--lambda", 0.8]
    code, out, err = call(*options, "--pictures", 2, "--out", "made")
    assert (code, err) == (0, "") and "wrote made" in out
    config = json.loads(Path("made/config.json").read_text())
    assert config["sizes"] == {"width": 32, "horizontal": 1, "vertical": 2}
    assert config["grid"] == {"rows": 6, "columns": 6} and config["architectures"] == ["HawkHeads"]
    block = config["speculators_config"]
    assert block["algorithm"] == "hawk" and block["verifier"]["name_or_path"] == "tiny"
    assert block["proposal_methods"][0] == {"proposal_type": "spatial", "speculative_tokens": 3}
    with safe_open("made/model.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["horizontal", "vertical"], "weights of the target were written"
    card = Path("made/README.md").read_text()
    said = "    spatialspec train draft --target target --data pictures --out made --config mine.yaml --pictures 2"
    assert f"{said} --lambda 0.8 --steps 2 --batch 2\n" in card
    for part in ("steps 2, batch 2", "objective total-variation, decay 0.8", "seed 0", "accelerate 1", "Apache-2.0"):
        assert part in card, part
    assert re.search(r"git revision: (none|[0-9a-f]{12}( with changes)?)\n", card)
    for name in ("accepted probability, right 1", "guided, down 2, rejection", "guided, right 1, coupled"):
        assert re.search(FIGURE.format(name), card), name
    assert re.search(r"weights of step [12], the best", card) and "2 real images" in card
    assert "fluent-emoji-3d" in card, "the images' credits"


def test_prompts_alone_are_enough(call) -> None:
    Path("prompts.txt").write_text("a cat\na dog\nred apple\n")
    for drafter in ("hawk", "ssd", "hydra", "eagle", "guide"):
        code, _, err = call("--drafter", drafter, "--self-distil", "prompts.txt", "--steps", 1, "--out", drafter)
        assert (code, err) == (0, ""), err
        card = Path(drafter, "README.md").read_text()
        assert (
            "2 images that the target drew itself" in card
            and "of 3 prompts in a file" in card
            and "--self-distil prompts.txt" in card
        )


def test_a_tracker_gets_losses_and_figures(call, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[int, dict[str, float]]] = []

    class Notes(GeneralTracker):
        name, requires_logging_directory = "notes", False

        def __init__(self, run_name: str, **_: object) -> None:
            super().__init__()

        @property
        def tracker(self) -> None:
            return None

        @on_main_process
        def store_init_configuration(self, values: dict[str, object]) -> None:
            got.append((-1, values))

        @on_main_process
        def log(self, values: dict[str, float], step: int | None = None, **_: object) -> None:
            got.append((step, values))

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "notes", Notes)
    code, _, err = call("--data", "pictures", "--steps", 2, "--batch", 1, "--tracker", "notes", "--out", "made")
    assert (code, err) == (0, "")
    assert [step for step, _ in got] == [-1, 0, 1, 2, 2]
    assert got[0][1]["steps"] == 2 and got[2][1].keys() == {"loss", "rate"} and "held-out/right 1" in got[4][1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--drafter", "spatial"], "expected one of hawk, ssd"),
        (["--config", "none"], "hawk-paper"),
        (["--config", "list.yaml"], "expected lines like"),
        (["--config", "odd.yaml"], "got setting 'stepz', expected one of steps, batch"),
        (["--config", "text.yaml"], "got steps: 'many', expected a value like 1"),
        (["--config", "hawk.yaml", "--drafter", "ssd"], "and that of --config"),
        (["--steps", 0], "got steps 0"),
        (["--batch", -1], "got batch -1"),
        (["--lambda", "nan"], "got decay nan"),
        (["--horizontal", 99], "0 to 16"),
        (["--vertical", 6], "fewer than its rows"),
        (["--pictures", 0], "got --pictures 0"),
        (["--self-distil", "none.txt"], "none.txt"),
        (["--self-distil", "one.txt"], "got 1 prompts, expected at least 2"),
        (["--data", "nowhere"], "metadata.csv"),
        (["--data", "hub:a/b"], "datasets"),
        (["--target", "nowhere"], "got model 'nowhere'"),
        (["--tracker", "paper"], "expected one of aim"),
        (["--tracker", "clearml"], "pip install clearml"),
        (["--out", "one.txt"], "expected a folder to write to"),
        (["--shard-target"], "start with torchrun"),
    ],
)
def test_bad_input_is_one_line(call, monkeypatch, options: list[object], expected: str) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # not installed
    Path("one.txt").write_text("a cat\n")
    for name, text in {
        "list": "- 1\n",
        "odd": "stepz: 3\n",
        "text": "steps: many\n",
        "hawk": "drafter: hawk\n",
    }.items():
        Path(f"{name}.yaml").write_text(text)
    where = [] if "--data" in options or "--self-distil" in options else ["--data", "pictures"]
    code, _, err = call(*where, *options)
    assert code == 2 and err.count("\n") == 1 and err.startswith("error: ") and expected in err
    assert not list(Path().rglob("drafts/*/state")), "something was computed"


@pytest.mark.parametrize("name", shipped())
def test_shipped_settings_are_recipes(name: str) -> None:
    settings = read_config(name)
    drafter, pictures = settings.pop("drafter"), settings.pop("pictures", None)
    recipe = make_recipe(kinds()[drafter].task().recipe_type, settings)
    epochs = recipe.steps * recipe.batch / (pictures or recipe.steps * recipe.batch)
    assert "paper" not in name or epochs == pytest.approx(8 if drafter == "hawk" else 3, abs=0.01)


def test_a_tracker_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected one of .*tensorboard"):
        accelerator("tensorboards", tmp_path)


def test_shipped_names() -> None:
    assert {"hawk-paper", "ssd-paper-janus-pro-7b", "ssd-paper-lumina-mgpt-7b", "ssd-paper-emu3-8b"} <= set(shipped())
    assert [*kinds()] == ["hawk", "ssd", "spatial-model", "hydra", "eagle", "guide"]
    assert {method.drafts for method in methods().values()} == {*kinds(), ""} - {"guide"}, "an option of spatial"


@pytest.mark.parametrize("name", [name for name in shipped() if name.startswith("ssd-ablation")])
def test_every_space_of_the_ablation_learns_and_draws(tmp_path: Path, name: str) -> None:
    settings = read_config(name)
    del settings["drafter"]
    lesson = heads("ssd", **settings, steps=25, evaluate_every=25)
    weights_of, best = run(lesson, tmp_path / "state")
    assert best.score > lesson.score(best.before), "25 steps make better drafts than none"
    drafts = lesson.build()
    drafts.load_state_dict(weights_of)
    weights.save(drafts, tmp_path / "made", lesson.target.fingerprint, "tiny")
    loaded = weights.load(tmp_path / "made", lesson.target)
    assert loaded.config == drafts.config
    request = Request(["a cat"], [0], lesson.target.default, Grid(4, 4))
    exact, _ = generate(lesson.target, [loaded], Method.parse("ssd-strict:horizontal=1"), request)
    plain, _ = generate(lesson.target, [], Method.parse("ar"), request)
    assert exact == plain
