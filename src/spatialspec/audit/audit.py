"""Audit of methods against what they declare: images against an enumerated distribution, tokens against AR's.

Every method runs through the shipped loop on toys whose distribution is known. Chi-square compares its images with the
joint distribution of all cells in two enumerations: from the first cell, and from the last, where images with the same
last tokens are neighbours. A method that is declared seed-exact must also draw AR's tokens, image by image, on the toys
and on a model; a tie of AR's two best scores explains a divergence, as in `measure.distance`.

The level of one test is FALSE_ALARM / (number of tests) / CAUTION. An audit of honest methods fails with odds below
FALSE_ALARM, however the tests depend on each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch

from spatialspec.audit.cases import Plan
from spatialspec.audit.chi_square import CAUTION
from spatialspec.audit.environments import ModelEnvironment, ToyEnvironment, departures
from spatialspec.audit.findings import AuditDocument, AuditSettings, CaseResult, MethodAudit, SeedIdentity
from spatialspec.audit.replicas import NoiseTable
from spatialspec.core.progress import Progress
from spatialspec.generation import assemble
from spatialspec.io.identity import identity
from spatialspec.io.processes import Workers
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import RULES, Method
from spatialspec.methods.registry import REGISTRY
from spatialspec.pipeline import SpatialPipeline

FALSE_ALARM = 1e-6
SEED_EXACT, EXACT, NOT_EXACT, NO_DEVIATION = "seed-exact", "exact", "not exact", "no deviation"


def pairs(methods: Sequence[Method]) -> list[tuple[Method, str]]:
    """Every method with every rule that it supports; under a tolerance that is coupled noise alone."""
    rules = [(method, method.rule_under(verifier)) for method in methods for verifier in RULES]
    return [pair for pair in dict.fromkeys(rules) if pair[1] == "coupled" or pair[0].exact or not pair[0].lossless]


def declared(method: Method, verifier: str) -> str:
    """Exactness that a method declares under a verifier."""
    if method.seed_exact(verifier):
        return SEED_EXACT
    return EXACT if method.exact else NOT_EXACT


def images_of(method: Method, verifier: str, plan: Plan) -> list[int]:
    """Number of images that a method draws of each toy; where toys are drawn in turn, half for a variant."""
    many = declared(method, verifier) == EXACT or method == AR
    half = plan.in_turn and not _by_default(method)
    images = [max(plan.others, case.images // 2) if half else case.images for case in plan.cases]
    return images if many else [plan.others] * len(images)


def _by_default(method: Method) -> bool:
    return method == REGISTRY.all().get(method.name)


def turns(methods: Sequence[Method], plan: Plan) -> list[tuple[int, ...]]:
    """The toys, as indices, on which each pair of `pairs` draws: all, or some in turn if the plan says so.

    In turn, a method with its defaults draws on two under each rule that must be exact; a variant, and what is not
    declared exact, on one. The first of a sort under a rule begins with the second toy, the next with the third.
    """
    tried, count = pairs(methods), len(plan.cases)
    if not plan.in_turn:
        return [tuple(range(count))] * len(tried)
    shares, begun = [], Counter[tuple[str, int]]()
    for method, rule in tried:
        two = _by_default(method) and declared(method, rule) != NOT_EXACT
        kind = rule, 1 + two
        shares.append(tuple(sorted({(begun[kind] + i) % count for i in range(1, kind[1] + 1)})))
        begun[kind] += 1
    return shares


def chi_square_tests(methods: Sequence[Method], plan: Plan) -> int:
    """Number of tests of an audit: two enumerations of every toy on which a method draws under a rule."""
    return 2 * sum(map(len, turns(methods, plan)))


def level_of(tests: int) -> float:
    """Level of one of `tests` tests: a deviation is a p at or below it."""
    return FALSE_ALARM / tests / CAUTION


def on_model(methods: Sequence[Method], toys_only: Collection[Method]) -> list[tuple[Method, str]]:
    """The pairs that are compared with AR on the model."""
    return [pair for pair in pairs(methods) if pair[0].seed_exact(pair[1]) and pair[0] not in toys_only]


def effort(methods: Sequence[Method], plan: Plan, model_cells: int, toys_only: Collection[Method] = ()) -> int:
    """Tokens that an audit draws and reports."""
    compared, toys = len(on_model(methods, toys_only)), turns(methods, plan)
    drawn = sum(_tokens(*pair, plan, own) for pair, own in zip(pairs(methods), toys, strict=True))
    return drawn + (compared + 1) * len(plan.prompts) * model_cells


def _tokens(method: Method, verifier: str, plan: Plan, toys: Sequence[int]) -> int:
    images = images_of(method, verifier, plan)
    return sum(images[i] * plan.cases[i].cells for i in toys)


@dataclass(frozen=True)
class ToyTrial:
    """Results of a method on its toys.

    Attributes:
        cases: one for each toy.
        ties: images that differ from AR's, first at a tie.
        unexplained: images that differ from AR's without a tie.
    """

    cases: list[CaseResult]
    ties: int
    unexplained: int


def environments(plan: Plan, seed: int) -> list[ToyEnvironment]:
    """Make the toys of a plan."""
    most = max(case.images for case in plan.cases)
    tables = {sizes: NoiseTable(most, *sizes, seed) for sizes in {(c.cells, c.vocabulary) for c in plan.cases}}
    return [ToyEnvironment(case, plan, tables[case.cells, case.vocabulary]) for case in plan.cases]


def try_on_toys(toys: Sequence[ToyEnvironment], method: Method, verifier: str, chosen: Sequence[int]) -> ToyTrial:
    """Draw with a method on the toys with these indices, and compare."""
    cases: list[CaseResult] = []
    divergences: list[tuple[int, int]] = []
    counts = images_of(method, verifier, toys[0].plan)
    for toy, count in ((toys[i], counts[i]) for i in chosen):
        images = toy.draw(method, verifier, count)
        cases.append(toy.compare(images))
        if method.seed_exact(verifier):
            divergences.append(departures(toy.toy, toy.reference, images[: toy.plan.others].tolist()))
    return ToyTrial(cases, sum(ties for ties, _ in divergences), sum(unexplained for _, unexplained in divergences))


_environments_of_worker = cache(environments)


def _in_worker(plan: Plan, seed: int, method: str, verifier: str, chosen: Sequence[int]) -> ToyTrial:
    torch.set_num_threads(1)
    return try_on_toys(_environments_of_worker(plan, seed), Method.parse(method), verifier, chosen)


def audit(
    methods: Sequence[Method],
    plan: Plan,
    seed: int = 0,
    pipeline: SpatialPipeline | None = None,
    report: Progress = lambda method, tokens: None,
    workers: int = 1,
    toys_only: Collection[Method] = (),
) -> AuditDocument:
    """Try methods under every verifier.

    Args:
        methods: in the order of the result; one named twice counts once.
        plan: what is drawn.
        seed: of the first image, 0 to 2^62.
        pipeline: model on which tokens are compared with AR's; None leaves that out.
        report: called now and then as `report(method, tokens just drawn)`.
        workers: processes for the toys; with 1 they run in this one.
        toys_only: methods that are not compared on the model.

    Raises:
        BadInput: the model lacks the drafts of a seed-exact method; before anything is computed.
    """
    tried, chosen = pairs(methods), turns(methods, plan)
    model = None if pipeline is None else ModelEnvironment(pipeline, plan, seed, report)
    compared = on_model(methods, toys_only)
    if model is not None:
        for method, _ in compared:
            assemble(model.target, model.drafts, method, model.request)
    tests = chi_square_tests(methods, plan)
    level = level_of(tests)
    results: list[MethodAudit] = []
    of_model: dict[tuple[Method, str], tuple[int, int]] = {}
    toys = cache(partial(environments, plan, seed))

    def begin(method: Method, verifier: str, own: Sequence[int]) -> Callable[[], ToyTrial]:
        """Start a trial in a worker, or defer it to this process; workers know only methods of this package."""
        if workers > 1 and REGISTRY.ships(method):
            return pool.submit(_in_worker, plan, seed, str(method), verifier, own).result
        return lambda: try_on_toys(toys(), method, verifier, own)

    with Workers(workers) as pool:
        trials = [begin(*pair, own) for pair, own in zip(tried, chosen, strict=True)]
        if model is not None:
            of_model = {pair: departures(model.target, model.reference, model.draw(pair[0])) for pair in compared}
        for pair, own, trial in zip(tried, chosen, trials, strict=True):
            results.append(_judge(*pair, plan, trial(), of_model.get(pair), level))
            report(str(pair[0]), _tokens(*pair, plan, own))
    settings = AuditSettings(
        command="audit",
        model="" if pipeline is None else pipeline.target.name,
        fingerprint="" if pipeline is None else pipeline.target.fingerprint,
        identity="" if pipeline is None else identity(pipeline.target),
        size="" if model is None else str(model.request.grid),
        prompts=0 if model is None else len(plan.prompts),
        seed=seed,
        tests=tests,
        level=level,
        false_alarm=FALSE_ALARM,
        threads=torch.get_num_threads(),
    )
    return AuditDocument(settings=settings, methods=results)


def _judge(
    method: Method, verifier: str, plan: Plan, toys: ToyTrial, model: tuple[int, int] | None, level: float
) -> MethodAudit:
    promise, worst, seeds = declared(method, verifier), min(toys.cases, key=lambda case: case.p), None
    if promise == SEED_EXACT:
        count, (ties, unexplained) = (0, (0, 0)) if model is None else (len(plan.prompts), model)
        seeds = SeedIdentity(
            images=plan.others * len(toys.cases) + count, model_images=count,
            ties=toys.ties + ties, unexplained=toys.unexplained + unexplained,
        )  # fmt: skip
    outcome = NO_DEVIATION
    if worst.p <= level:
        outcome = NOT_EXACT
    elif seeds is not None and not seeds.unexplained:
        outcome = SEED_EXACT
    return MethodAudit(
        method=str(method),
        verifier=verifier,
        declared=promise,
        found=outcome,
        ok=promise == NOT_EXACT or outcome == promise or (promise == EXACT and outcome == NO_DEVIATION),
        images=sum(case.images for case in toys.cases),
        p=worst.p,
        total_variation=worst.total_variation,
        expected_variation=worst.expected_variation,
        seed_identity=seeds,
        cases=toys.cases,
    )
