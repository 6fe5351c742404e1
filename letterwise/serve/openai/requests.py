"""Requests: what a client may ask for. Options of writing come from config/generation.py, where each is declared once.

JSON ──pydantic──▶ CompletionRequest · ChatRequest ──options_of──▶ Sampler, Limits      or a sentence
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from letterwise.config.arguments import parts
from letterwise.config.generation import ConstraintConfig, RequestConfig, SamplerConfig, StopConfig
from letterwise.config.knob import default_of, typed_fields, without_none
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError, quoted
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.sampling.sampler import Sampler
from letterwise.serve.config import LimitConfig

OTHERWISE = {"num_samples", "rng_seed", "logit_bias", "greedy", "beam", "num_tokens", "max_seconds", "stop", "unknown"}
LONGEST = {"regex": 10_000, "grammar": 100_000, "json_schema": 100_000, "charset": 10_000, "exclude": 10_000}
MAX_TEXTS, LONGEST_TEXT = 64, 1_000  # of stop and must_contain
MAX_LOGPROBS = 20
DEFAULT_TOKENS = 200
REMEMBERED = 10_000  # characters of a request's options that are kept
KNOWN = {f.name for kind in (SamplerConfig, StopConfig, ConstraintConfig) for f, _ in typed_fields(kind)} - OTHERWISE
Class = TypeVar("Class", bound=type[BaseModel])


class Strict(BaseModel):
    """Of a request: no field that is not known, and no value of another kind."""

    model_config = ConfigDict(extra="forbid", strict=True)


def with_options(kind: Class) -> Class:
    """A request with the options of writing that have the same name here and there, their help and their range."""
    made: dict[str, Any] = {}
    for config in (SamplerConfig, StopConfig, ConstraintConfig):
        for f, hint in typed_fields(config):
            if f.name in OTHERWISE or f.name in kind.model_fields:
                continue
            bounds = {"minimum": "min", "maximum": "max", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
            shown = {name: f.metadata[ours] for name, ours in bounds.items() if f.metadata[ours] is not None}
            more: dict[str, Any] = {"max_length": MAX_TEXTS} if get_origin(hint) is tuple else {}
            hint = list[str] if more else hint
            if without_none(hint) is str:
                more = {"max_length": LONGEST[f.name]}
            default = list(default_of(f)) if get_origin(hint) is list else default_of(f)
            made[f.name] = (hint | None, Field(default, description=f.metadata["help"], json_schema_extra=shown, **more))
    return create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **made)  # ty: ignore


class JSONSchema(Strict):
    """A schema, as OpenAI wraps it."""

    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    schema_: dict[str, Any] = Field({}, alias="schema", description="the JSON schema")


class ResponseFormat(Strict):
    """What the answer is to be: text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None


class StreamOptions(Strict):
    """Of an answer in pieces."""

    include_usage: bool = Field(False, description="end with a piece that tells the usage")
    include_obfuscation: bool | None = None


class Unused(Strict):
    """Fields of OpenAI's that change nothing here: clients send them unasked."""

    user: Any = Field(None, description="is not used")
    metadata: Any = Field(None, description="is not used")
    store: Any = Field(None, description="is not used")
    service_tier: Any = Field(None, description="is not used")
    safety_identifier: Any = Field(None, description="is not used")
    prompt_cache_key: Any = Field(None, description="is not used")
    reasoning_effort: Any = Field(None, description="is not used")
    verbosity: Any = Field(None, description="is not used")
    parallel_tool_calls: Any = Field(None, description="is not used")


class WritingRequest(Unused):
    """What completions and chat have in common."""

    model: str | None = Field(None, description="one of /v1/models (without: the first)", max_length=1000)
    temperature: float | None = Field(
        1.0, description="below 1 safer, above 1 wilder, 0 always the likeliest", json_schema_extra={"minimum": 0}
    )
    n: int | None = Field(1, description="texts for each prompt, side by side", json_schema_extra={"minimum": 1})
    seed: int | None = Field(
        None, description="the same seed gives the same text; text k uses seed + k", json_schema_extra={"minimum": 0}
    )
    stop: str | list[str] | None = Field(None, description="stop before one of these texts is written")
    stream: bool | None = Field(False, description="send each piece when it is written, as server-sent events")
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, float] | None = Field(None, description="nats to add to the logits of ids: {'42': -100}")
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | str | None = Field(None, description="write JSON of this schema")
    unknown: Literal["error", "skip"] | None = Field(None, description="what to do with characters the model never saw")
    timeout: float | None = Field(None, description="stop after this many seconds", json_schema_extra={"exclusiveMinimum": 0})


def options_of(
    asked: WritingRequest, max_tokens: int | None, vocabulary: Vocabulary, most: LimitConfig
) -> tuple[Sampler, Limits]:
    """How to draw, when to stop and what may be written. Raises `UserError`."""
    if max_tokens is None:
        max_tokens = min(DEFAULT_TOKENS, most.max_tokens)
    if max_tokens > most.max_tokens:
        raise UserError(f"max_tokens={max_tokens} is too large: this server writes {most.max_tokens:,} characters at most.")
    options = {name: value for name in asked.model_fields_set & KNOWN if (value := getattr(asked, name)) is not None}
    if asked.temperature is not None and not asked.temperature >= 0:
        raise UserError(f"temperature={asked.temperature} must be 0 (always the likeliest) or more.")
    greedy_at_0(options)
    options["num_tokens"] = max_tokens
    options["stop"] = texts("stop", [asked.stop] if isinstance(asked.stop, str) else asked.stop or [])
    options["must_contain"] = texts("must_contain", options.get("must_contain", []))
    options["logit_bias"] = characters_of(asked.logit_bias or {}, vocabulary)
    if asked.timeout is not None:
        options["max_seconds"] = asked.timeout
    if (schema := schema_of(asked)) is not None:
        options["json_schema"] = schema
    text = json.dumps(options)
    return checked(text) if len(text) <= REMEMBERED else checked.__wrapped__(text)


def greedy_at_0(options: dict[str, Any]) -> None:
    """Temperature 0 means always the likeliest, as OpenAI has it."""
    if options.get("temperature") == 0:
        del options["temperature"]
        options["greedy"] = True


@lru_cache(64)
def checked(options: str) -> tuple[Sampler, Limits]:
    """The same as objects: to check each option costs more than all else of a request, and many requests have the same ones."""
    _, sampler, limits = parts(json.loads(options), RequestConfig, Sampler, Limits)
    return sampler, limits


def texts(name: str, given: list[str]) -> tuple[str, ...]:
    """A few short texts. Raises `UserError` for many, or long ones."""
    if len(given) > MAX_TEXTS or any(len(text) > LONGEST_TEXT for text in given):
        raise UserError(f"{name} takes {MAX_TEXTS} texts of {LONGEST_TEXT:,} characters at most.")
    return tuple(given)


def characters_of(bias: Mapping[str, float], vocabulary: Vocabulary) -> dict[str, float]:
    """A bias by ids, as OpenAI has it, by characters. Raises `UserError` for what is no id."""
    named = {}
    for id, nats in bias.items():
        if not (id.isascii() and id.isdecimal() and len(id) < 10 and int(id) < len(vocabulary)):
            raise UserError(f"logit_bias {quoted(id)} is no id of this model: they are 0 to {len(vocabulary) - 1}.")
        named[vocabulary.decode([int(id)])] = nats
    return named


def schema_of(asked: WritingRequest) -> dict[str, Any] | str | None:
    """The JSON schema that is asked for, in either way. Raises `UserError` when there are two."""
    wanted = asked.response_format
    if wanted is None or wanted.type == "text":
        return asked.json_schema
    if asked.json_schema is not None:
        raise UserError("json_schema and response_format say the same: leave out one of them.")
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None:
        raise UserError("response_format has no json_schema: give {'name': …, 'schema': …}.")
    return wanted.json_schema.schema_
