"""OpenAI's own client, unmodified, against a real server: what it writes is what the model writes from Python."""

import asyncio
import json
import math
from pathlib import Path

import openai
import pytest
from serve.running import Running, running

import letterwise


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    """The synchronous client."""
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none is asked for", max_retries=0)


def test_it_lists_the_models(client: openai.OpenAI) -> None:
    models = list(client.models.list())
    assert [model.id for model in models][:3] == ["tiny", "lines", "bytes"]
    assert client.models.retrieve("lines").id == "lines"
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.models.retrieve("other")


def test_it_writes_what_python_writes(client: openai.OpenAI, tiny: letterwise.LanguageModel) -> None:
    done = client.completions.create(model="tiny", prompt="The cat", max_tokens=40, seed=5, temperature=1.3, top_p=0.9)
    assert done.choices[0].text == tiny.generate("The cat", num_tokens=40, rng_seed=5, temperature=1.3, top_p=0.9)
    assert (done.choices[0].finish_reason, done.usage.completion_tokens, done.usage.prompt_tokens) == ("length", 40, 7)


def test_temperature_0_is_greedy(client: openai.OpenAI, tiny: letterwise.LanguageModel) -> None:
    done = client.completions.create(model="tiny", prompt="The owl", max_tokens=60, temperature=0)
    assert done.choices[0].text == tiny.generate("The owl", num_tokens=60, greedy=True)


def test_it_streams_the_same_text(client: openai.OpenAI) -> None:
    asked = dict(model="tiny", prompt="The dog", max_tokens=1000, frequency_penalty=0.1, seed=9)  # it takes some steps
    pieces = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert len(pieces) > 3
    assert pieces[-1].choices == []
    assert pieces[-1].usage.completion_tokens == 1000
    text = "".join(piece.choices[0].text for piece in pieces[:-1])
    assert text == client.completions.create(**asked).choices[0].text
    assert [piece.choices[0].finish_reason for piece in pieces[-3:-1]] == [None, "length"]


def test_n_texts_have_seeds_of_their_own(client: openai.OpenAI, tiny: letterwise.LanguageModel) -> None:
    done = client.completions.create(
        model="tiny", prompt=["The ", "A"], max_tokens=30, seed=3, n=3, extra_body={"unknown": "skip"}
    )
    expected = [*tiny.samples("The ", num_samples=3, num_tokens=30, rng_seed=3).texts()]
    expected += tiny.samples("A", num_samples=3, num_tokens=30, rng_seed=3, unknown="skip").texts()
    assert [choice.text for choice in done.choices] == expected
    assert [choice.index for choice in done.choices] == [0, 1, 2, 3, 4, 5]


def test_stop_ends_before_the_text(client: openai.OpenAI) -> None:
    done = client.completions.create(model="tiny", prompt="The cat", max_tokens=100, temperature=0, stop=[" on", "zzz"])
    assert (done.choices[0].text, done.choices[0].finish_reason) == (" sat", "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_the_models_own(client: openai.OpenAI, tiny: letterwise.LanguageModel, stream: bool) -> None:
    asked = dict(model="tiny", prompt="The cat", max_tokens=24, seed=1, logprobs=4, temperature=0.5, top_k=None)
    asked.pop("top_k")
    if stream:
        parts = [piece.choices[0].logprobs for piece in client.completions.create(**asked, stream=True)]
        text = "".join(piece.choices[0].text for piece in client.completions.create(**asked, stream=True))
    else:
        choice = client.completions.create(**asked).choices[0]
        parts, text = [choice.logprobs], choice.text
    tokens = [token for part in parts for token in part.tokens]
    assert "".join(tokens) == text == tiny.generate("The cat", num_tokens=24, rng_seed=1, temperature=0.5)
    assert [offset for part in parts for offset in part.text_offset] == list(range(24))
    told = [logprob for part in parts for logprob in part.token_logprobs]
    own = tiny.logits("The cat" + text).log_softmax(-1)
    for i, (token, logprob) in enumerate(zip(tokens, told, strict=True)):
        assert logprob == pytest.approx(float(own[6 + i, tiny.vocabulary.encode(token)[0]]), abs=1e-3)
    for top, token, logprob in zip((each for part in parts for each in part.top_logprobs), tokens, told, strict=True):
        assert len(top) == 4
        assert top.get(token, logprob) == logprob


def test_echo_gives_the_prompt_and_what_the_model_thought_of_it(client: openai.OpenAI) -> None:
    done = client.completions.create(model="tiny", prompt="The cat sat", max_tokens=0, echo=True, logprobs=1)
    [choice] = done.choices
    assert choice.text == "The cat sat"
    assert choice.logprobs.token_logprobs[0] is None
    assert all(logprob <= 0 for logprob in choice.logprobs.token_logprobs[1:])
    assert min(choice.logprobs.token_logprobs[1:]) < 0
    assert choice.logprobs.text_offset == list(range(11))


def test_ids_are_a_prompt_too(client: openai.OpenAI, tiny: letterwise.LanguageModel) -> None:
    ids = tiny.vocabulary.encode("The cat").tolist()
    done = client.completions.create(model="tiny", prompt=[ids, ids[:3]], max_tokens=9, seed=0)
    assert done.choices[0].text == tiny.generate("The cat", num_tokens=9, rng_seed=0)
    with pytest.raises(openai.BadRequestError, match="ids that this model does not know"):
        client.completions.create(model="tiny", prompt=[10**6], max_tokens=9)


def test_json_of_a_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}
    with pytest.raises(openai.BadRequestError, match=r"vocabulary|JSON"):
        client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "The cat"}], response_format=form, max_tokens=50
        )
    done = client.chat.completions.create(
        model="bytes", messages=[{"role": "user", "content": "The cat"}], response_format=form, max_tokens=50
    )
    assert json.loads(done.choices[0].message.content)["a"] in (1, 2)
    assert done.choices[0].finish_reason == "stop"


def test_our_own_fields(client: openai.OpenAI, tiny: letterwise.LanguageModel) -> None:
    asked = {"regex": " sat on the (mat|log)", "top_k": 3, "repetition_penalty": 1.1}
    done = client.completions.create(model="tiny", prompt="The cat", max_tokens=50, seed=2, extra_body=asked)
    assert done.choices[0].text == tiny.generate("The cat", num_tokens=50, rng_seed=2, **asked)
    assert done.choices[0].ended == "match"


def test_chat_goes_on_behind_what_was_said(client: openai.OpenAI, tiny: letterwise.LanguageModel) -> None:
    said = [{"role": "system", "content": "Be brief! ☠"}, {"role": "user", "content": "The cat"}]
    asked = dict(model="tiny", messages=said, max_completion_tokens=30, seed=4)
    done = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    prompt = "Be brief! ☠\nThe cat\n"
    assert done.choices[0].message.content == tiny.generate(prompt, num_tokens=30, rng_seed=4, unknown="skip")
    assert len(done.choices[0].logprobs.content) == 30
    assert math.isclose(done.choices[0].logprobs.content[0].top_logprobs[0].logprob, 0, abs_tol=20)
    pieces = list(client.chat.completions.create(**asked, stream=True))
    assert pieces[0].choices[0].delta.role == "assistant"
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == done.choices[0].message.content


def test_many_at_once_each_as_if_it_were_alone(server: Running, tiny: letterwise.LanguageModel) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client:
            asked = [
                client.completions.create(
                    model="tiny", prompt="The " if k % 2 else "The dog", max_tokens=20 + k, seed=k, temperature=0.5 + k / 20
                )
                for k in range(24)
            ]
            return [done.choices[0].text for done in await asyncio.gather(*asked)]

    for k, text in enumerate(asyncio.run(ask())):
        prompt = "The " if k % 2 else "The dog"
        assert text == tiny.generate(prompt, num_tokens=20 + k, rng_seed=k, temperature=0.5 + k / 20), k


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"prompt": "☠"}, "not in this model's vocabulary"),
        ({"max_tokens": -1}, "max_tokens=-1 is too small"),
        ({"max_tokens": 10**6}, "max_tokens=1000000 is too large"),
        ({"temperature": -1}, "temperature=-1"),
        ({"top_p": 2}, "top_p=2"),
        ({"n": 0}, "n=0 must be 1 or more"),
        ({"n": 1000}, "1000 texts are asked for at once"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"suffix": "end"}, "suffix is not known here"),
        ({"best_of": 3}, "best_of=3 is not known here"),
        ({"logprobs": 21}, "logprobs=21 must be 0 to 20"),
        ({"stop": ["a"] * 65}, "stop takes 64 texts"),
        ({"logit_bias": {"1000": 1}}, "logit_bias '1000' is no id"),
        ({"prompt": "x" * 100_001}, "too long"),
        ({"extra_body": {"regex": "("}}, "regex"),
        ({"extra_body": {"regexp": "a"}}, "did you mean 'regex'"),
        ({"extra_body": {"grammar": "/etc/passwd"}}, "grammar"),
        ({"extra_body": {"json_schema": "/etc/passwd"}}, "json_schema"),
    ],
)
def test_what_cannot_be_is_said(client: openai.OpenAI, asked: dict, sentence: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(**{"model": "tiny", "prompt": "The ", "max_tokens": 5, **asked})
    body = refused.value.body
    assert sentence in body["message"]
    assert "--" not in body["message"]
    assert body["type"] == "invalid_request_error"
    assert "root:" not in body["message"]


def test_bytes_are_counted_as_bytes(client: openai.OpenAI) -> None:
    done = client.completions.create(model="bytes", prompt="é", max_tokens=40, seed=1, temperature=8, logprobs=0)
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (2, 40)
    assert len(done.choices[0].logprobs.tokens) == 40


def test_fields_that_change_nothing_are_taken(client: openai.OpenAI) -> None:
    said = [
        {"role": "user", "content": [{"type": "text", "text": "The cat"}]},
        {"role": "tool", "content": "on", "tool_call_id": "1"},
    ]
    asked = dict(model="tiny", messages=said, max_tokens=5, seed=1)
    unused = dict(
        store=False, service_tier="auto", parallel_tool_calls=False, reasoning_effort="low", user="me", modalities=["text"]
    )
    one, other = client.chat.completions.create(**asked), client.chat.completions.create(**asked, **unused)
    assert one.choices[0].message.content == other.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="tools are not known here"):
        client.chat.completions.create(**asked, tools=[{"type": "function", "function": {"name": "f"}}])


def test_what_has_no_room_even_alone_is_not_busy(tiny, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny.safetensors")
    with running(tmp_path, "--model_path", "tiny.safetensors", "--max_rows", "2", "--max_queue", "1") as narrow:
        one = openai.OpenAI(base_url=f"{narrow.url}/v1", api_key="-", max_retries=0)
        with pytest.raises(openai.BadRequestError, match="4 texts are asked for at once: this server takes 3"):
            one.completions.create(model="tiny", prompt="The", n=4, max_tokens=2)
        assert len(one.completions.create(model="tiny", prompt="The", n=3, max_tokens=2).choices) == 3
