"""SSD's ablation of the inputs and outputs of predictors, with drafts of the shipped ablation recipes."""

from __future__ import annotations

from spatialspec.core.errors import BadInput
from spatialspec.lab.reproduce.context import ExperimentContext, Outcome
from spatialspec.lab.reproduce.folders import compare_folders, open_folders
from spatialspec.lab.reproduce.paired import nearer
from spatialspec.lab.reproduce.plots import compare

MAKE = (
    "`spatialspec train draft --target MODEL --self-distil PROMPTS --config CONFIG --out FOLDER` for the configs "
    "ssd-ablation-pre-norm-token, -pre-norm, -post-norm-token, -post-norm, -embedding"
)
NAMES = {  # (space, token) -> the paper's name
    ("pre-norm", True): "h_pre + e -> h_pre",
    ("pre-norm", False): "h_pre -> h_pre",
    ("post-norm", True): "h_post + e -> h_post",
    ("post-norm", False): "h_post -> h_post",
    ("embedding", False): "e -> e",
}
METHOD = NAMES["pre-norm", True]
PAPER = {
    "e -> e": 5.52, "h_pre -> h_pre": 69.07, "h_post -> h_post": 45.26, METHOD: 71.65, "h_post + e -> h_post": 41.57,
}  # fmt: skip
ABOUT = (
    "On Janus-Pro-7B without rounds, predicting pre-norm states from pre-norm states and the token's embedding "
    "gives DPG-Bench 71.65, without the embedding 69.07, in post-norm space 41 to 45, in embedding space 5.52."
)


def run(context: ExperimentContext) -> Outcome:
    """SSD without rounds with the predictors of every folder.

    Raises:
        BadInput: fewer than two folders, none of the method itself, or two of one kind.
    """
    folders = [(NAMES[f.predictors.config.space, f.predictors.config.token], f) for f in open_folders(context, MAKE)]
    kinds = [name for name, _ in folders]
    if METHOD not in kinds or len(set(kinds)) < len(kinds):
        raise BadInput(f"drafts of {', '.join(kinds)}", f"{METHOD} and others, each once", f"make them with {MAKE}")
    names = {name: folder for wanted in PAPER for name, folder in folders if name == wanted}
    table, away = compare_folders(context, names, PAPER, "reads -> predicts")
    claims = [
        nearer(f"{METHOD} is closer to AR than {name}", away[METHOD], away[name]) for name in names if name != METHOD
    ]
    shown = table.model_copy(update={"rows": [row | {"method": row["drafts"]} for row in table.rows]})
    panels = [("down", ""), ("likelihood_gap", ""), ("pit_ks", "")]
    return Outcome(ABOUT, [table], claims, lambda plot: compare(plot, shown, panels))
