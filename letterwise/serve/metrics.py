"""Metrics: what an operator watches, in Prometheus' text format at /metrics."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
RATE_S = 10.0  # the rate of characters is that of the last so many seconds


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("letterwise_requests", "Answers", ["method", "path", "status"], registry=self.registry)
        self.seconds = Histogram(
            "letterwise_request_seconds", "From a request's head to the end of its answer", ["path"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.first_character = Histogram(
            "letterwise_first_character_seconds", "From a text's request to its first character",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.characters = Counter("letterwise_characters", "Characters that were written", registry=self.registry)
        self.paths = set[str]()  # those that are told apart also where a request was refused before it was routed
        self.recent: deque[tuple[float, int]] = deque()

    def wrote(self, characters: int) -> None:
        """So many characters more."""
        self.characters.inc(characters)
        self.recent.append((time.monotonic(), characters))
        self._forget()

    def characters_per_second(self) -> float:
        """Of the last ten seconds."""
        self._forget()
        return sum(characters for _, characters in list(self.recent)) / RATE_S

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        """A figure that is looked up when it is asked for."""
        self.registry.register(LookedUp(name, help, value))

    def _forget(self) -> None:
        old = time.monotonic() - RATE_S
        while self.recent and self.recent[0][0] < old:
            self.recent.popleft()


class LookedUp:
    """A gauge whose value a function knows."""

    def __init__(self, name: str, help: str, value: Callable[[], float]) -> None:
        self.name, self.help, self.value = name, help, value

    def collect(self) -> Iterator[Any]:
        """The figure now."""
        yield GaugeMetricFamily(self.name, self.help, value=self.value())
