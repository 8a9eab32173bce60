"""The JSON document of `audit`: settings, and the declared and the measured exactness of each method and verifier."""

from __future__ import annotations

from spatialspec.measure.documents import JsonDocument, RunSettings, Strict


class CaseResult(Strict):
    """Images of one toy.

    Attributes:
        case: the toy and its sampling.
        images: drawn.
        chi_square, freedom, p: of the enumeration with the smaller p; null if an image of probability 0 was drawn.
        total_variation: from the exact joint distribution.
        expected_variation: mean of `total_variation` under sampling noise alone.
    """

    case: str
    images: int
    chi_square: float | None
    freedom: int
    p: float
    total_variation: float
    expected_variation: float


class SeedIdentity(Strict):
    """Comparison of images with AR's for the same seed.

    Attributes:
        images: number of images, of toys and of the model.
        model_images: number of the model's images.
        ties: images that differ from AR's, first at a tie.
        unexplained: images that differ from AR's without a tie.
    """

    images: int
    model_images: int
    ties: int
    unexplained: int


class MethodAudit(Strict):
    """A method under one verifier.

    Attributes:
        method: name and options.
        verifier: rule in effect.
        declared: "seed-exact", "exact" or "not exact".
        found: "seed-exact", "no deviation" of the distribution, or "not exact".
        ok: whether `found` agrees with `declared`; "not exact" agrees with everything.
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
        fingerprint: of the weights that seed identity was tried on, "" without a model; so is the next.
        identity: of everything of the target that images depend on, see `io.identity`.
        tests: chi-square tests.
        level: a p at or below this is a deviation.
        false_alarm: bound on the odds that honest methods fail.
    """

    fingerprint: str
    identity: str = ""
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
