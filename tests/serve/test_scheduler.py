"""Who waits for whom in a scheduler."""

import threading
from typing import Any

import pytest

import letterwise
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.engine import Engine
from letterwise.inference.generate import Request
from letterwise.inference.sampling.sampler import Sampler
from letterwise.serve import scheduler
from letterwise.serve.metrics import Metrics
from letterwise.serve.scheduler import Job, Piece, Scheduler


class Reader:
    """Who asks for a text, and waits for it."""

    def __init__(self, model: letterwise.LanguageModel, prompt: str, num_tokens: int) -> None:
        request = Request(model.vocabulary.encode(prompt), Sampler(), Limits(num_tokens=num_tokens), 1)
        self.job, self.text, self.begun, self.over = Job(request, self.take), "", threading.Event(), threading.Event()

    def take(self, piece: Piece) -> None:
        self.text += piece.text
        self.begun.set()
        if piece.ended:
            self.over.set()


def test_a_long_prompt_is_read_between_the_steps_of_others(
    tiny: letterwise.LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, steps, during = "The cat sat on the mat. ", [0], list[int]()
    step, read = Engine.step, Scheduler._read

    def counted(engine: Engine) -> None:
        steps[0] += 1
        step(engine)

    def watched(self: Scheduler, ids: Any) -> Any:
        before = steps[0]
        text = read(self, ids)
        during.append(steps[0] - before)
        return text

    monkeypatch.setattr(scheduler, "AT_ONCE", 0)  # one character at a time
    monkeypatch.setattr(Engine, "step", counted)
    monkeypatch.setattr(Scheduler, "_read", watched)
    writing = Scheduler(tiny.backend, tiny.vocabulary, Metrics(), max_rows=4, max_queue=4)
    try:
        endless, other = Reader(tiny, "T", 10**7), Reader(tiny, prompt, 20)
        writing.submit([endless.job])
        assert endless.begun.wait(60)
        writing.submit([other.job])
        assert other.over.wait(60)
    finally:
        writing.close()
    assert during == [0, len(prompt) - len("T") - 1]  # it begins as the other one does, which was read
    assert other.text == tiny.generate(prompt, num_tokens=20, rng_seed=1)
