"""The JSON document of `audit`: settings and, for each method and verifier, declared against found."""

from __future__ import annotations

from spatialspec.measure.documents import JsonDocument, RunSettings, Strict


class CaseResult(Strict):
    """Images of one toy.

    Attributes:
        case: the toy and its sampling.
        images: drawn.
        chi_square, freedom, p: of the enumeration with the smaller p; null where an image was drawn that cannot be.
        total_variation: from the exact joint distribution.
        expected_variation: mean of the former if nothing but sampling noise were at work.
    """

    case: str
    images: int
    chi_square: float | None
    freedom: int
    p: float
    total_variation: float
    expected_variation: float


class SeedIdentity(Strict):
    """Images against AR's of the same seed.

    Attributes:
        images: compared, of toys and of the model.
        model_images: of these, the model's.
        ties: images that leave AR's at a tie.
        unexplained: images that leave AR's without one.
    """

    images: int
    model_images: int
    ties: int
    unexplained: int


class MethodAudit(Strict):
    """A method under one verifier.

    Attributes:
        method: as it was given.
        verifier: the rule at work.
        declared: "seed-exact", "exact" or "not exact".
        found: "seed-exact", "no deviation" of the distribution, or "not exact".
        ok: whether what was found agrees with what a method declares; "not exact" declares nothing.
        images: of toys.
        p, total_variation, expected_variation: of the worst case.
        seed_identity: null unless seed-exact is declared.
        cases: all of them.
    """

    method: str
    verifier: str
    declared: str
    found: str
    ok: bool
    images: int
    p: float
    total_variation: float
    expected_variation: float
    seed_identity: SeedIdentity | None
    cases: list[CaseResult]


class AuditSettings(RunSettings):
    """What was audited, and how.

    Attributes:
        fingerprint: of the weights that seed identity was tried on, "" without a model.
        tests: chi-square tests.
        level: a p at or below this is a deviation.
        false_alarm: bound on the odds that honest methods fail.
    """

    fingerprint: str
    size: str
    prompts: int
    seed: int
    tests: int
    level: float
    false_alarm: float


class AuditDocument(JsonDocument):
    """One audit."""

    settings: AuditSettings
    methods: list[MethodAudit]

    @property
    def ok(self) -> bool:
        """Whether every method is what it says."""
        return all(method.ok for method in self.methods)
