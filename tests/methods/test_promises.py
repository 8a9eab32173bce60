"""What a method of one's own may claim: nothing that its parts do not say."""

from __future__ import annotations

import pytest
from pydantic import Field

from spatialspec import BadInput, Method
from spatialspec.methods.coupled import Coupled
from spatialspec.methods.jacobi import Jacobi, JacobiOptions
from spatialspec.methods.options import Options, Tolerance, explain


def test_a_tolerance_that_holds_is_not_exact() -> None:
    class Loose(Tolerance):
        tolerance: float = 6.0
        length: int = 8

    method = Method("loose", "", Loose(), Jacobi)
    assert not method.exact and not method.seed_exact("coupled")
    assert method.with_options(tolerance=0).exact and not method.with_options(length=9).exact
    assert not method.with_default("tolerance", 3.0).exact


def test_a_verifier_of_its_own_says_whether_it_is_lossless() -> None:
    def loose(context: object, options: object, rule: object) -> Coupled:
        return Coupled(context.noise, 4.0)  # type: ignore[attr-defined]

    with pytest.raises(BadInput, match="got method loose with a verifier of its own, expected lossless=True or False"):
        Method("loose", "", JacobiOptions(), Jacobi, loose)
    assert not Method("loose", "", JacobiOptions(), Jacobi, loose, lossless=False).exact
    assert Method("plain", "", JacobiOptions(), Jacobi).exact


@pytest.mark.parametrize(("name", "base"), [("tolerance", "Tolerance"), ("budget", "Budget")])
def test_dials_are_those_of_the_shared_options(name: str, base: str) -> None:
    """A field of that name alone would be set by --tolerance and --budget, and change nothing."""
    with pytest.raises(BadInput, match=f"got an option {name} of Own, expected that of {base}: inherit from {base}"):
        type("Own", (Options,), {"__annotations__": {name: float}, name: 6.0})


def test_options_without_words_are_explained_by_their_values() -> None:
    class Bare(Options):
        length: int = 8
        width: int = Field(default=2, ge=1, le=9, description="cells")

    fields = Bare.model_fields
    assert explain("length", fields["length"]) == "length=8  a whole number"
    assert explain("width", fields["width"]) == "width=2  cells, a whole number from 1 to 9"
