"""Library: the models that are served, by name. Each is loaded once, at its first use, and again when its file has changed.

    --model_path … ──▶ names ──model(name)──▶ ServedModel (LanguageModel + Scheduler) ── idle, and memory is short ──▶ gone
    --runs DIR     ──▶

No name that is asked for becomes a path: it is looked up among those that are there.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import Depends, Request

from letterwise.api import LanguageModel, load
from letterwise.comparison.runs import find_model
from letterwise.comparison.runs_folder import list_runs
from letterwise.errors import UserError
from letterwise.machine import memory_available
from letterwise.serve.config import ServeConfig
from letterwise.serve.errors import LOG, Refused, plain
from letterwise.serve.facts import facts_of
from letterwise.serve.metrics import Metrics
from letterwise.serve.scheduler import Scheduler
from letterwise.serve.workers import Arrivals, Workers

RUNS = "out"  # where `letterwise train` writes, if nothing else is said
LOOK_S = 1.0  # how long it is believed which runs there are, and that a file is as it was
IDLE_S = 60.0  # a model that nobody used for so long may go
RESERVE = 2**30  # bytes of memory that are to stay free
PER_BYTE = 4  # bytes of memory that a byte of a model file may take

Stamp = tuple[int, int]
Result = TypeVar("Result")
Given = ParamSpec("Given")


class ServedModel:
    """A model that is loaded. `users` are the requests that hold it."""

    def __init__(
        self, name: str, stamp: Stamp, model: LanguageModel, scheduler: Scheduler, workers: Workers, arrivals: Arrivals
    ) -> None:
        self.name, self.stamp, self.model, self.scheduler, self.workers = name, stamp, model, scheduler, workers
        self.arrivals = arrivals  # of what the scheduler writes
        self.users, self.used, self.replaced = 0, time.monotonic(), False
        self.looked = time.monotonic()  # whether the file has changed

    async def compute(self, function: Callable[Given, Result], /, *given: Given.args, **named: Given.kwargs) -> Result:
        """What a function that takes its time returns; others are answered meanwhile. Raises `Refused` when too many wait."""
        return await self.workers.run(function, *given, **named)


class Library:
    """All models that can be asked for."""

    def __init__(self, config: ServeConfig, metrics: Metrics) -> None:
        """Raises `UserError` when a model file that was named is not there."""
        self.config, self.metrics, self.workers = config, metrics, Workers(config.limits.max_queue)
        self.named = named(config.place.model_path)
        self.runs, self.found = Path(config.place.runs or RUNS), (-math.inf, dict[str, Path]())
        self.loaded = dict[Path, ServedModel]()
        self.locks = dict[Path, asyncio.Lock]()
        self.facts = dict[Path, tuple[Stamp, dict[str, Any]]]()
        metrics.gauge("letterwise_models_loaded", "Models in memory", lambda: len(self.loaded))
        metrics.gauge("letterwise_active", "Texts that are being written", lambda: self._sum(lambda s: s.active))
        metrics.gauge("letterwise_queue", "Texts that wait for their turn", lambda: self._sum(lambda s: len(s.waiting)))
        metrics.gauge("letterwise_characters_per_second", "Over ten seconds", metrics.characters_per_second)

    def paths(self) -> dict[str, Path]:
        """The models, by name: those of --model_path; then (without it, or with --runs) those of the runs, newest first."""
        named = {name: path for name, path in self.named.items() if path in self.loaded or path.is_file()}
        if self.named and self.config.place.runs is None:
            return named
        now = time.monotonic()
        if now - self.found[0] > LOOK_S:
            self.found = now, {plain(run.name): run.model_path for run in list_runs(self.runs) if run.model_path}
        there = set(named.values())
        runs = {name: path for name, path in self.found[1].items() if name not in named and path not in there}
        return named | runs

    @asynccontextmanager
    async def model(self, name: str | None = None) -> AsyncGenerator[ServedModel]:
        """A model, loaded if need be, and kept while it is used. Raises `Refused` when there is none of that name."""
        paths = self.paths()
        if not paths:
            raise Refused(
                404, "there is no model yet: train one with `letterwise train --input_file TEXT`.", code="model_not_found"
            )
        name = next(iter(paths)) if name is None else name
        if name not in paths:
            raise no_model(name)
        served = await self._loaded(name, paths[name])
        served.users += 1
        try:
            yield served
        finally:
            served.users -= 1
            served.used = time.monotonic()
            if served.replaced and not served.users:
                await self.workers.run(served.scheduler.close)

    async def _loaded(self, name: str, path: Path) -> ServedModel:
        """The model as its file is now; what is in memory, where the file cannot be read. Raises `Refused` where neither is."""
        async with self.locks.setdefault(path, asyncio.Lock()):
            there = self.loaded.get(path)
            if there:
                if time.monotonic() - there.looked < LOOK_S:
                    return there
                there.looked = time.monotonic()
            try:
                now = stamp(path)
            except Refused:
                if there:  # what is in memory goes on
                    return there
                raise
            if there and there.stamp == now:
                return there
            await self.make_room(PER_BYTE * now[1])
            try:
                fresh = await self.workers.run(self._load, name, path, now, Arrivals(asyncio.get_running_loop()))
            except UserError as error:
                LOG.warning("%s", error)
                if there:  # what is there now is damaged: what was there before goes on
                    return there
                raise Refused(503, f"model {name!r} cannot be loaded: {error}", code="model_damaged") from error
            self.loaded[path] = fresh
            if there:
                there.replaced = True
                if not there.users:
                    await self.workers.run(there.scheduler.close)
            return fresh

    def _load(self, name: str, path: Path, now: Stamp, arrivals: Arrivals) -> ServedModel:
        """Read a model, and have compiled what it needs."""
        model = load(path, device=self.config.place.device)
        model.generate(num_tokens=1)  # whatever is to be compiled, is now
        model.generate(num_tokens=1, presence_penalty=1.0)
        limits = self.config.limits
        scheduler = Scheduler(
            model.backend, model.vocabulary, self.metrics, max_rows=limits.max_rows, max_queue=limits.max_queue
        )
        return ServedModel(name, now, model, scheduler, self.workers, arrivals)

    async def make_room(self, size: int = 0) -> None:
        """Unload what is idle, least recently used first, until there is memory for so many bytes."""
        by_age = sorted(self.loaded.items(), key=lambda item: item[1].used)
        for path, served in by_age:
            available = memory_available()
            if available is None or available >= RESERVE + size:
                return
            if not served.users and time.monotonic() - served.used >= IDLE_S:
                del self.loaded[path]
                await self.workers.run(served.scheduler.close)

    async def listing(self) -> list[dict[str, Any]]:
        """What /v1/models says: those whose file cannot be read are left out."""
        paths = self.paths()
        return await self.workers.run(lambda: [entry for item in paths.items() if (entry := self._entry(*item))])

    async def entry(self, name: str) -> dict[str, Any]:
        """What it says of one. Raises `Refused` when there is none of that name."""
        path = self.paths().get(name)
        found = await self.workers.run(self._entry, name, path) if path else None
        if found is None:
            raise no_model(name)
        return found

    def _entry(self, name: str, path: Path) -> dict[str, Any] | None:
        try:
            now = stamp(path)
            if self.facts.get(path, (None,))[0] != now:
                self.facts[path] = now, facts_of(path)
        except (UserError, Refused):
            return None
        return {"id": name, "created": now[0] // 10**9, "letterwise": {"loaded": path in self.loaded, **self.facts[path][1]}}

    def close(self) -> None:
        """End what runs, with an error."""
        for served in list(self.loaded.values()):
            served.scheduler.close()
        self.workers.close()

    def _sum(self, of: Callable[[Scheduler], int]) -> int:
        return sum(of(served.scheduler) for served in list(self.loaded.values()))


def no_model(name: str) -> Refused:
    """What is said of a name that none has."""
    return Refused(404, f"there is no model {name[:100]!r}: see /v1/models.", param="model", code="model_not_found")


def stamp(path: Path) -> Stamp:
    """What changes when a file is written anew. Raises `Refused` when it is gone."""
    try:
        seen = os.stat(path)
    except OSError:
        raise Refused(404, "the file of this model is gone: see /v1/models.", param="model", code="model_not_found") from None
    return seen.st_mtime_ns, seen.st_size


def named(files: Sequence[str]) -> dict[str, Path]:
    """A name for each model file or run directory. Raises `UserError` for what is none."""
    names = dict[str, Path]()
    for given in files:
        path = find_model(given)
        if not path.is_file():
            raise UserError(f"--model_path {given!r} is not there: train a model with `letterwise train`.")
        base = plain(path.resolve().parent.name if path.stem == "model" else path.stem)
        name = next(name for name in chain([base], (f"{base}-{number}" for number in count(2))) if name not in names)
        names[name] = path
    return names


async def library_of(request: Request) -> Library:
    """The library of the application that was asked."""
    return request.app.state.library


LibraryOf = Annotated[Library, Depends(library_of)]
