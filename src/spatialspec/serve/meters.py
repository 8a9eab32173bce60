"""What Prometheus reads: requests, queue, batch, passes, accepted length, seconds by stage, tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, Summary, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

SIZES = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = (1, 2, 4, 8, 12, 16, 24, 32, 64, 128)
PASSES = (16, 32, 48, 64, 96, 128, 256, 512, 1024, 4096)


class Meters:
    """Counters of one server.

    Args:
        queue: number of images that wait.
        batch: number of images that are drawn.

    Attributes:
        registry: of all of them.
        requests: by outcome: completed, cancelled, failed, refused.
        sizes: images that share a pass.
        passes: forward calls of the target.
        image_passes: of each finished image.
        accepted: cells committed for an image by a pass that commits.
        seconds: by stage: queue (waiting for the batch), draw (in the batch), pixels (decoding and encoding).
        tokens: committed.
        rate: tokens per second of the last pass; 0 when nothing is drawn.
    """

    def __init__(self, queue: Callable[[], float], batch: Callable[[], float]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("spatialspec_requests", "Requests for images", ["outcome"], registry=registry)
        Gauge("spatialspec_queue_images", "Images that wait", registry=registry).set_function(queue)
        Gauge("spatialspec_batch_images", "Images that are drawn", registry=registry).set_function(batch)
        self.sizes = Histogram("spatialspec_batch_size", "Images of a pass", buckets=SIZES, registry=registry)
        self.passes = Counter("spatialspec_passes", "Forward calls of the model", registry=registry)
        name, text = "spatialspec_image_passes", "Passes of a finished image"
        self.image_passes = Histogram(name, text, buckets=PASSES, registry=registry)
        name, text = "spatialspec_accepted_length", "Tokens of an image that a committing pass commits"
        self.accepted = Histogram(name, text, buckets=LENGTHS, registry=registry)
        self.seconds = Summary("spatialspec_seconds", "Seconds of images, by stage", ["stage"], registry=registry)
        self.tokens = Counter("spatialspec_tokens", "Tokens committed", registry=registry)
        self.rate = Gauge("spatialspec_tokens_per_second", "Of the last pass", registry=registry)


class _Together(Collector):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for place, text in self._texts.items():
            for one in text_string_to_metric_families(text):
                family = families.setdefault(one.name, Metric(one.name, one.documentation, one.type))
                for sample in one.samples:
                    family.add_sample(sample.name, {**sample.labels, "replica": place}, sample.value)
        yield from families.values()


def together(texts: Mapping[str, str]) -> bytes:
    """Figures of several servers as one text for Prometheus.

    Args:
        texts: of each server by its place, which becomes the label `replica`.
    """
    registry = CollectorRegistry()
    registry.register(_Together(texts))
    return generate_latest(registry)
