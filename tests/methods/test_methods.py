"""Methods by name: options and what they refuse, promises that follow from options that hold, the table."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import Field

from spatialspec import plugins
from spatialspec.core.errors import BadInput
from spatialspec.methods import registry
from spatialspec.methods.ar import AR
from spatialspec.methods.hawk import HawkOptions
from spatialspec.methods.method import Method
from spatialspec.methods.options import Options, Tolerance, allowed
from spatialspec.methods.registry import find, methods
from spatialspec.methods.spatial.drafter import SpatialOptions
from spatialspec.plugins import register

WORDS = [  # as typed, and part of the message
    ("magic", "got method 'magic', expected one of ar, medusa,"),
    ("", "got method ''"),
    ("hawk:depht=2", "got option 'depht', expected key=value with a key of tolerance, slots, budget, horizontal"),
    ("ar:x=1", "with a key of none: it takes no options"),
    ("ar:x", "got option 'x' for ar, expected key=value, once, with a key of none"),
    ("hawk:depth", "got option 'depth' for hawk, expected key=value, once"),
    ("hawk:", "got option '' for hawk"),
    ("hawk:depth=1:depth=1", "got option 'depth=1' for hawk, expected key=value, once"),
    ("hawk:depth=", "got depth=, expected a whole number from 1 to 16"),
    ("hawk:depth=0", "got depth=0, expected a whole number from 1 to 16"),
    ("hawk:depth=17", "got depth=17, expected a whole number from 1 to 16"),
    ("hawk:depth=1.5", "got depth=1.5, expected a whole number"),
    ("hawk:depth=true", "got depth=true, expected a whole number"),
    ("hawk:depth=" + "9" * 6000, "got depth=999"),
    ("hawk:depth=2\x1b[31m", r"got depth=2\\x1b\[31m, expected"),
    ("spatial:budget=513", "got budget=513, expected a whole number from 0 to 512"),
    ("spatial:front=nan", "got front=nan, expected a number from 0 to 1"),
    ("spatial:front=1.01", "got front=1.01, expected a number from 0 to 1"),
    ("spatial:tolerance=nan", "got tolerance=nan, expected a number from 0 to inf"),
    ("spatial:tolerance=-0.1", "got tolerance=-0.1, expected a number from 0 to inf"),
    ("spatial:start=above", "got start=above, expected one of copy, hawk, spatial-model"),
    ("spatial:start=Copy", "got start=Copy, expected one of"),
    ("spatial:given=1", "got option 'given'"),
    ("spatial:model_config=1", "got option 'model_config'"),
    ("ssd:inner=17", "got inner=17, expected one of staged or a whole number from 0 to 16"),
    ("gsd:d=-1", "got d=-1, expected a number from 0 to inf"),
]
VALUES: list[tuple[str, dict[str, Any]]] = [
    ("spatial", {"budget": True}),
    ("spatial", {"front": True}),
    ("spatial", {"tolerance": False}),
    ("ssd", {"inner": True}),
    ("spatial", {"tolerance": math.nan}),
    ("spatial", {"tolerance": -math.inf}),
    ("spatial", {"tolerance": 10**400}),
    ("spatial", {"budget": math.inf}),
    ("spatial", {"budget": 64.5}),
    ("spatial", {"budget": None}),
    ("spatial", {"budget": [3]}),
    ("spatial", {"start": 3}),
    ("spatial", {"self": 1}),
    ("hawk", {"length": 3}),
]


@pytest.mark.parametrize(("text", "message"), WORDS, ids=[text[:30] for text, _ in WORDS])
def test_words_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        Method.parse(text)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(("name", "values"), VALUES, ids=str)
def test_values_that_are_refused(name: str, values: dict[str, Any]) -> None:
    """From Python, by a method or by its options, as from the command line."""
    for make in (find(name).with_options, type(find(name).options)):
        with pytest.raises(BadInput, match=f"got (option '?)?{next(iter(values))}"):
            make(**values)


def test_options_are_read_and_printed_as_they_were_named() -> None:
    """Names of 0.1.0, which stand in results that are stored."""
    method = Method.parse("spatial:front=0:tolerance=inf:budget=11")
    assert str(method) == "spatial:front=0.0:tolerance=inf:budget=11"
    assert list(method.options.explicit.items()) == [("front", 0.0), ("tolerance", math.inf), ("budget", 11)]
    assert str(method.with_options(candidates=4, front=0.5)) == "spatial:front=0.5:tolerance=inf:budget=11:candidates=4"
    assert Method.parse(str(method)) == method == find("spatial").with_options(**method.options.explicit)
    same = Method.parse("spatial:budget=64")
    assert same == find("spatial") and hash(same) == hash(find("spatial")) and str(same) == "spatial:budget=64"
    assert Method.parse("hawk") != Method.parse("medusa")
    assert [str(m) for m in Method.parse_list(" ar, hawk:depth=1 ,,")] == ["ar", "hawk:depth=1"]


def test_a_default_gives_way_to_what_was_named() -> None:
    assert str(find("spatial").with_default("budget", 3)) == "spatial:budget=3"
    assert str(Method.parse("spatial:budget=5").with_default("budget", 3)) == "spatial:budget=5"
    assert find("spatial").with_default("budget", "64") is find("spatial"), "the same value changes nothing"
    assert find("ar").with_default("budget", 3) is find("ar"), "it has none"
    with pytest.raises(BadInput, match="got budget=999"):
        find("spatial").with_default("budget", 999)


def test_promises_follow_from_the_options_that_hold() -> None:
    """Those of a table entry, too, not from what somebody typed."""
    assert find("spatial").exact and find("spatial").seed_exact("rejection")
    assert find("sjd").exact and not find("sjd").seed_exact("coupled")
    assert find("hawk").seed_exact("coupled") and not find("hawk").seed_exact("rejection")
    assert Method.parse("spatial:tolerance=0").exact and not Method.parse("spatial:tolerance=0.1").exact
    assert not find("ssd").exact and not find("lantern").exact
    loose = Method("loose", "", SpatialOptions(tolerance=6), AR, rule="coupled")
    assert not loose.exact and not loose.seed_exact("coupled") and loose.with_options(tolerance=0).exact

    class Loose(Tolerance):
        """Relaxed unless somebody says otherwise."""

        tolerance: float = Field(default=6.0, ge=0)

    assert not Method("loose", "", Loose(), AR, rule="coupled").exact


@pytest.mark.parametrize("name", methods())
def test_every_method_goes_to_another_process(name: str) -> None:
    method = methods()[name]
    assert pickle.loads(pickle.dumps(method)) == method and method.summary and method.name == name
    assert all(field.description and allowed(field) for field in type(method.options).model_fields.values())


class Odd(Options):
    """Kinds of values that no shipped method has."""

    both: bool = Field(default=False, description="a flag")
    word: str = Field(default="a", description="a word")


def test_options_of_other_kinds() -> None:
    assert Odd(both=True).both and Odd(both="true").both and not Odd(both="False").both
    with pytest.raises(BadInput, match="got both=maybe, expected a bool"):
        Odd(both="maybe")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Method]:
    """A table of this test's own."""
    table = methods()
    monkeypatch.setattr(registry.REGISTRY, "named", table)
    return table


def test_a_method_is_registered_once(table: dict[str, Method]) -> None:
    mine = register(Method("mine", "", HawkOptions(), AR))
    assert find("mine") is mine is register(mine) and methods()["mine"] is mine
    with pytest.raises(BadInput, match="register: got a second Method 'mine', expected a name of its own"):
        register(Method("mine", "another", HawkOptions(), AR))
    with pytest.raises(BadInput, match="register: got a second Method 'hawk'"):
        register(Method("hawk", "", HawkOptions(), AR))
    with pytest.raises(BadInput, match="register: got a str, expected a Method"):
        register("hawk")  # type: ignore[arg-type]
    assert find("mine") is mine and find("hawk") is not mine


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("not_there:METHOD", "got ModuleNotFoundError: No module named 'not_there', expected a module"),
        ("json:METHOD", "got AttributeError: .*, expected a module"),
        ("json:dumps", "got a function, expected a Method"),
        ("spatialspec.methods.hawk:HAWK", ""),
    ],
)
def test_entry_points_that_are_no_methods_are_named(
    table: dict[str, Method], where: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [EntryPoint("mine", where, registry.REGISTRY.group)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == found[0].group else [])
    monkeypatch.setattr(registry.REGISTRY, "complete", False)
    if not message:  # a method that is there already
        assert Method.parse("hawk") == find("hawk")
        return
    with pytest.raises(BadInput, match=f"entry point mine of spatialspec.methods: {message}"):
        Method.parse("hawk")
    assert table["hawk"].name == "hawk"


def test_what_ships_is_known_by_all_of_its_parts(table: dict[str, Method]) -> None:
    """A worker of the audit makes a method from its text: one that shares no more than the name is not sent there."""
    for method in (*map(Method.parse, registry.audited()), Method.parse("hawk:tolerance=2").with_default("budget", 7)):
        assert registry.REGISTRY.ships(method), method
    hawk, csd = Method.parse("hawk"), Method.parse("csd")
    for changed in ({"name": "mine"}, {"drafter": csd.drafter}, {"verifier": csd.verifier}, {"lossless": False}):
        assert not registry.REGISTRY.ships(replace(hawk, **changed)), changed
    registry.REGISTRY.add(mine := replace(hawk, name="mine"), "test")
    assert registry.methods()["mine"] is mine and not registry.REGISTRY.ships(mine)
