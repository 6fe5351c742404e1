"""/api/runs: how models learn, while they do and after. `comparison/runs_folder.py`, over the wire.

A run's name is looked up among those that are there; nothing that a request says becomes a path.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from letterwise.comparison.runs_folder import RunSummary, list_runs, read_rows
from letterwise.serve.errors import Refused, plain
from letterwise.serve.library import Library, LibraryOf
from letterwise.serve.verbs.answers import Answer, finite, in_json

State = Literal["training", "finished", "stopped"]
router = APIRouter(tags=["letterwise"])


class Run(Answer):
    """A run as it is now. What is not known is null."""

    name: str
    state: State = Field(description="stopped: interrupted, killed, or of a version that did not write down its end")
    preset: str | None
    size: str | None
    params: int | None
    text: str | None = Field(description="the name of what it learns, without folders")
    step: int
    max_iters: int | None
    minutes: float | None
    seconds: float | None = Field(description="how long it has trained")
    rows: int = Field(description="how many rows there are")
    best_nats: float | None = Field(description="the best validation so far, per character")
    best_bits: float | None
    counts: bool | None = Field(description="whether it learns beside counts of n-grams")
    counting_nats: float | None = Field(description="what counting alone reaches over the validation text, per character")
    model: str | None = Field(description="its model, as /v1/models calls it; null where that is not served")


class RunsAnswer(Answer):
    """All runs, the one that changed last first."""

    runs: list[Run]


class RowsAnswer(Answer):
    """Rows of a run's metrics.jsonl. They begin at `next` - their number: at 0, if the run began anew."""

    rows: list[dict[str, Any]]
    next: int = Field(description="ask with since=next for what comes then")
    state: State


@router.get("/api/runs", response_model=RunsAnswer)
async def runs(library: LibraryOf) -> Response:
    """The runs that this server sees, as they are now."""
    return Response(await library.workers.run(listed, library), media_type="application/json")


@router.get("/api/runs/{name:path}/rows", response_model=RowsAnswer)
async def rows(
    name: str, library: LibraryOf, since: Annotated[int, Query(ge=0, description="so many rows are known already")] = 0
) -> Response:
    """What a run has written down since a row: how it learns, as it does. Raises `Refused` when there is no such run."""
    return Response(await library.workers.run(written, library, name, since), media_type="application/json")


def listed(library: Library) -> bytes:
    """The answer."""
    names = {path.resolve(): name for name, path in library.paths().items()}
    return in_json(
        {
            "runs": [
                summary(run, names.get(run.model_path.resolve()) if run.model_path else None) for run in list_runs(library.runs)
            ]
        }
    )


def summary(run: RunSummary, model: str | None) -> dict[str, Any]:
    """One run."""
    figures = run.to_json() | {"model": model}
    return finite({name: figures[name] for name in Run.model_fields})


def written(library: Library, name: str, since: int) -> bytes:
    """The answer."""
    run = next((run for run in list_runs(library.runs) if plain(run.name) == name), None)
    if run is None:
        raise Refused(404, f"there is no run {name[:100]!r}: see /api/runs.", param="name", code="run_not_found")
    found = read_rows(library.runs, run.name, since)
    return in_json({"rows": found.rows, "next": found.first + len(found.rows), "state": run.state})
