"""Methods paired with AR image by image, for differences with intervals over prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from spatialspec.extras import NotInstalled
from spatialspec.lab.reproduce.context import ExperimentContext
from spatialspec.lab.reproduce.report import Column, Table, Value
from spatialspec.lab.reproduce.verdict import Claim
from spatialspec.measure.bench import bench
from spatialspec.measure.intervals import RESAMPLES, bootstrapped, mean_over_prompts
from spatialspec.measure.intervals import Figure as Interval
from spatialspec.measure.metrics import MethodResult, MethodRun, summarise
from spatialspec.measure.runs import Sample
from spatialspec.methods.ar import METHOD as AR
from spatialspec.methods.method import Method
from spatialspec.quality.encoders import image_features
from spatialspec.quality.judge import Alignment

NATS = "nats per token"
NEAR = 0.1  # nats per token: largest difference of log-likelihood gaps that counts as equal

FIGURES = (
    Column(key="method", label="method", form="`{}`"),
    Column(key="target_passes", label="passes", form="{:.1f}"),
    Column(key="accepted_length", label="accepted", form="{:.3f}"),
    Column(key="speedup_passes", label="x passes", form="{:.2f}"),
    Column(key="speedup_seconds", label="x time", form="{:.2f}"),
    Column(key="likelihood_gap", label="gap", form="{:+.3f}"),
    Column(key="entropy", label="entropy", form="{:.3f}"),
    Column(key="pit_ks", label="pit ks", form="{:.3f}"),
    Column(key="alignment", label="R-precision", form="{:.1%}"),
)


@dataclass(frozen=True)
class PairedRun:
    """Some methods on the same prompts and seeds.

    Attributes:
        results: figures of each method over all images.
        images: figures of each image, prompt by prompt.
        samples: the images.
        hits: whether each image is closer to its prompt than to 99 other captions; None if not judged.
    """

    results: Mapping[str, MethodResult]
    images: Mapping[str, Sequence[MethodResult]]
    samples: Mapping[str, Sequence[Sample]]
    hits: Mapping[str, np.ndarray] | None

    @property
    def prompts(self) -> int:
        """Number of images of each method, one for each prompt."""
        return len(self.images[str(AR)])

    def values(self, method: str, key: str) -> list[float] | None:
        """A figure of every image; None where it is undefined."""
        figures = [getattr(image, key) for image in self.images[_name(method)]]
        return None if None in figures else figures

    def mean(self, method: str, key: str) -> float | None:
        """Mean of a figure over images."""
        figures = self.values(method, key)
        return None if figures is None else fmean(figures)

    def minus(self, a: str, b: str, key: str) -> Interval | None:
        """Mean of a figure of method `a` minus that of method `b`, image by image."""
        mine, others = self.values(a, key), self.values(b, key)
        if mine is None or others is None:
            return None
        return mean_over_prompts(np.subtract(mine, others), range(self.prompts))

    def more(self, text: str, a: str, b: str, key: str, unit: str) -> Claim:
        """The claim that a figure of `a` is above that of `b`."""
        return Claim(text, self.minus(a, b, key), self.prompts, unit)

    def nearer(self, text: str, a: str, b: str) -> Claim:
        """The claim that the likelihood gap of `a` is closer to AR's than that of `b`."""
        return nearer(text, self.away(a), self.away(b))

    def near(self, text: str, method: str) -> Claim:
        """The claim that the log-likelihood gap of a method equals AR's, up to NEAR."""
        return Claim(text, self.minus(method, str(AR), "likelihood_gap"), self.prompts, NATS, -NEAR, NEAR)

    def away(self, method: str) -> list[float] | None:
        """Likelihood gap of every image minus that of AR's, nats per token."""
        ar, mine = (self.values(name, "likelihood_gap") for name in (str(AR), method))
        return None if ar is None or mine is None else np.subtract(mine, ar).tolist()

    def row(self, method: str) -> dict[str, Value]:
        """A row under FIGURES."""
        name = _name(method)
        figures: dict[str, Value] = {c.key: getattr(self.results[name], c.key, None) for c in FIGURES}
        return figures | {"alignment": None if self.hits is None else float(self.hits[name].mean())}

    def table(self, caption: str, paper: Sequence[Column], theirs: Mapping[str, Mapping[str, Value]]) -> Table:
        """Our figures, then the paper's.

        Args:
            caption: above the table.
            paper: columns of the paper's figures.
            theirs: method -> the paper's figures.
        """
        known = {_name(method): dict(figures) for method, figures in theirs.items()}
        rows = [self.row(method) | known.get(method, {}) for method in self.results]
        return Table(caption=caption, columns=[*FIGURES, *paper], rows=rows)


def nearer(text: str, a: list[float] | None, b: list[float] | None) -> Claim:
    """The claim that the mean of `a` is closer to 0 than that of `b`, both over the same prompts."""
    if a is None or b is None:
        return Claim(text, None, 0, NATS)
    return Claim(text, of_means([a, b], lambda means: abs(means[1]) - abs(means[0])), len(a), NATS)


def of_means(values: Sequence[list[float]], figure: Callable[[np.ndarray], np.ndarray]) -> Interval:
    """A figure of several means over prompts, with its interval: prompts are resampled together.

    Args:
        values: of every prompt, one list for each mean.
        figure: from the means, in the first dimension.
    """
    rows = np.array(values)
    count = rows.shape[1]
    weight = np.random.default_rng((0, count)).multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    return bootstrapped(float(figure(rows.mean(1))), figure(rows @ weight.T), count)


def _name(method: str) -> str:
    """A method in canonical form, as in results."""
    return str(Method.parse(method))


def draw_all(context: ExperimentContext, methods: Sequence[str]) -> PairedRun:
    """Draw every prompt with every method; AR is always included, as the first.

    Raises:
        BadInput: a method lacks its drafts, or a prompt cannot be drawn; before anything is computed.
    """
    listed = list(dict.fromkeys([AR, *map(Method.parse, methods)]))
    samples: dict[Method, list[Sample]] = {method: [] for method in listed}
    with context.bar(len(listed) * (len(context.request.prompts) + 1) * context.grid.cells) as report:
        document = bench(
            context.pipeline, listed, context.request, report, lambda method, sample: samples[method].append(sample)
        )
    images = {
        str(method): [
            summarise(MethodRun(context.pipeline, method, context.request, [mine], [ar]))
            for mine, ar in zip(samples[method], samples[AR], strict=True)
        ]
        for method in listed
    }
    results = {result.method: result for result in document.methods}
    drawn = {str(method): drawn_samples for method, drawn_samples in samples.items()}
    return PairedRun(results, images, drawn, None if context.quick else _judge(context, drawn))


def _judge(context: ExperimentContext, samples: Mapping[str, Sequence[Sample]]) -> dict[str, np.ndarray] | None:
    """R-precision image by image; None, with a note in the context, if a package of the judge is missing."""
    captions = [sample.drawn.prompt for sample in samples[str(AR)]]
    try:
        judge = Alignment(captions)
        pixels = {method: np.stack([np.asarray(s.image) for s in drawn]) for method, drawn in samples.items()}
        return {m: judge.hits(image_features(stack, judge.side), captions) for m, stack in pixels.items()}
    except NotInstalled as error:
        context.unmeasured.add(f"R-precision was not measured: {error}.")
        return None
