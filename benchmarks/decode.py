"""Decode: characters per second of writing, beside llama2.c, HF `generate` and nanoGPT's `generate`, in turns.

    python -m benchmarks.decode --nanogpt CHECKOUT --llama2c CHECKOUT

Two lengths: texts that fill a context (all that llama2.c can write), and 500 characters (what nanoGPT writes by default; beyond
the context of the smaller shape: what a character costs then, windows being read again). Ours is the whole path, from a
prompt to pieces of text. Weights are fresh: what is written does not matter to speed. All sample with temperature 0.8; top-k
200 keeps all 65 characters. `together` is 64 samples side by side, `plain` the model without the kernel, `ensemble` one of
`fast` with and without counts; `--only plain` runs the contenders with that in their names. Last, the time from the start of
a process to its first character, for a model file that was used before.
"""

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import llama2c, nanogpt
from benchmarks.record import flags, record
from letterwise.checkpoint import ModelFile, save_model
from letterwise.checkpoint.weights import weights_of
from letterwise.config import Config, DataConfig
from letterwise.config.presets import resolve
from letterwise.data.prepare import prepare
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.backend import Backend
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.cpu.backend import CompiledBackend, CompiledEnsemble
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import Transformer, build, initialize
from letterwise.ngrams import ORDER, Counts, count_ngrams

VOCABULARY = Vocabulary("char", "".join(map(chr, range(32, 97))))
SHAPES = [
    dict(n_layer=4, n_head=4, n_embd=128, block_size=64),
    dict(n_layer=6, n_head=6, n_embd=384, block_size=256),
]
LONG, TOGETHER = 500, 64
Rate = Callable[[int], float]  # characters to write in a text → characters per second


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--llama2c", type=Path, help="a checkout of llama2.c, to run beside")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure each time, about")
    parser.add_argument("--only", default="", metavar="WORDS", help="only contenders with these words in their names")
    asked = parser.parse_args()
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as workplace:
            contenders = others(asked.nanogpt, asked.llama2c, shape, Path(workplace)) | ours(shape, asked.seconds)
            contenders = {name: able for name, able in contenders.items() if asked.only in name}
            for length, chars in (("context", shape["block_size"] - 1), ("long", LONG)):
                able = {name: rate for name, (rate, bounded) in contenders.items() if length == "context" or not bounded}
                speeds: dict[str, list[float]] = {name: [] for name in able}
                for _ in range(asked.rounds):
                    for name, rate in able.items():
                        speeds[name].append(rate(chars))
                for name, rates in speeds.items():
                    figures = {"chars_per_second": round(statistics.median(rates))}
                    alone = name.removesuffix(f", {TOGETHER} together")
                    for other in dict.fromkeys(("nanoGPT", "HF", "llama2.c, 2 threads", "llama", alone)):
                        if other in speeds and other != name:
                            ratio = statistics.median(a / b for a, b in zip(rates, speeds[other], strict=True))
                            figures[f"over {other}"] = round(ratio, 2)
                    record(asked.append, benchmark="decode", contender=name, length=length, **shape, **figures)
    if asked.only in "first character":
        record(asked.append, benchmark="decode", contender="first character", seconds=first_character_s(asked.rounds))


def ours(shape: dict[str, int], seconds: float) -> dict[str, tuple[Rate, bool]]:
    """Our presets, and ways to write; all go beyond a context."""
    contenders: dict[str, tuple[Rate, bool]] = {}
    members: list[CompiledBackend] = []
    for preset in ("llama", "gpt2", "classic", "fast", "fast without counts"):
        bare = {"counts_order": 0} if preset.endswith("counts") else {}
        heads = {"n_kv_head": shape["n_head"]} if preset == "llama" else {}  # as llama2.c is given
        config = resolve({"preset": preset.split()[0], **shape, **heads, **bare})
        model: Transformer = initialize(build(config.model, len(VOCABULARY)), seed=0).eval()
        counts = counted() if config.model.counts_order else None
        weights = weights_of(model)
        compiled = CompiledBackend(config.model, len(VOCABULARY), weights, counts)
        contenders[preset] = writer(compiled, seconds), False
        members += [compiled] if preset.startswith("fast") else []
        if preset in ("llama", "fast"):
            contenders[f"{preset}, {TOGETHER} together"] = writer(compiled, seconds, TOGETHER), False
            plain = TorchBackend(model, counts)
            contenders[f"{preset}, plain"] = writer(plain, seconds), False
            contenders[f"{preset}, plain, {TOGETHER} together"] = writer(plain, seconds, TOGETHER), False
    both = CompiledEnsemble(members, [0.8, 0.2])
    contenders["fast, ensemble"] = writer(both, seconds), False
    contenders[f"fast, ensemble, {TOGETHER} together"] = writer(both, seconds, TOGETHER), False
    return contenders


def writer(model: Backend, seconds: float, texts: int = 1) -> Rate:
    """Characters per second, prompt, sampling and decoding included."""
    sampler = Sampler(temperature=0.8, top_k=200)

    def rate(chars: int) -> float:
        def once() -> None:
            generate(model, VOCABULARY, " ", sampler=sampler, limits=Limits(num_tokens=chars), rng_seeds=range(texts)).texts()

        return chars * texts * timed(once, seconds)

    return rate


def timed(once: Callable[[], None], seconds: float) -> float:
    """How often a second it can be done: after one time to warm up, for about so many seconds."""
    began = time.perf_counter()
    once()
    times = max(1, round(seconds / (time.perf_counter() - began)))
    began = time.perf_counter()
    for _ in range(times):
        once()
    return times / (time.perf_counter() - began)


@functools.cache
def counted() -> Counts:
    """Counts of a real text, its characters folded into the vocabulary."""
    stream = prepare(DataConfig(dataset="python-docs"), note=lambda text: None)
    return count_ngrams(stream.ids % len(VOCABULARY), len(VOCABULARY), ORDER)


def others(
    nanogpt_checkout: Path | None, llama2c_checkout: Path | None, shape: dict[str, int], workplace: Path
) -> dict[str, tuple[Rate, bool]]:
    """Other people's programs, as far as they are here; with each, whether a context is all that it can write."""
    contenders: dict[str, tuple[Rate, bool]] = {}
    if nanogpt_checkout:
        module = nanogpt.model_module(nanogpt_checkout)
        model = module.GPT(module.GPTConfig(**shape, vocab_size=len(VOCABULARY), dropout=0.0, bias=False)).eval()
        contenders["nanoGPT"] = functools.partial(nanogpt_rate, model), False
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        print("transformers is not installed: no figures for HF generate", file=sys.stderr)
    else:
        config = GPT2Config(
            vocab_size=len(VOCABULARY), n_positions=shape["block_size"], n_embd=shape["n_embd"], n_layer=shape["n_layer"],
            n_head=shape["n_head"], bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        contenders["HF"] = functools.partial(huggingface_rate, GPT2LMHeadModel(config).eval()), True
    if llama2c_checkout:
        program, weights = llama2c.compiled(llama2c_checkout, workplace), workplace / "weights.bin"
        hidden = resolve({"preset": "llama", **shape}).model.hidden
        llama2c.checkpoint(weights, **shape, hidden=hidden, vocab_size=len(VOCABULARY))
        chars = 20_000 if shape["n_embd"] < 256 else 2_000
        for threads in (1, 2):
            rate = functools.partial(llama2c.chars_per_second, program, weights, chars, threads)
            contenders[f"llama2.c, {threads} thread{'s' * (threads > 1)}"] = (lambda _, rate=rate: rate()), True
    return contenders


@torch.no_grad()
def nanogpt_rate(model: torch.nn.Module, chars: int) -> float:
    """Of its own generate."""
    began = time.perf_counter()
    model.generate(torch.zeros(1, 1, dtype=torch.long), chars, temperature=0.8, top_k=200)
    return chars / (time.perf_counter() - began)


def huggingface_rate(model: torch.nn.Module, chars: int) -> float:
    """Of its generate, with its cache."""
    start = torch.zeros(1, 1, dtype=torch.long)
    began = time.perf_counter()
    model.generate(
        start, attention_mask=torch.ones_like(start), max_new_tokens=chars, min_new_tokens=chars, do_sample=True,
        temperature=0.8, top_k=0, use_cache=True, pad_token_id=0,
    )  # fmt: skip
    return chars / (time.perf_counter() - began)


def first_character_s(rounds: int) -> float:
    """From the start of `letterwise generate` to its first character: the median second and later time."""
    with tempfile.TemporaryDirectory() as workplace:
        path = Path(workplace) / "model.safetensors"
        config: Config = resolve({"preset": "fast", **SHAPES[0]})
        weights = weights_of(initialize(build(config.model, len(VOCABULARY)), seed=0))
        data = {"fingerprint": "0" * 64, "sources": [], "bounds": [0, 0, 0]}
        save_model(path, ModelFile(config, VOCABULARY, weights, data, [], counted()))
        command = [sys.executable, "-m", "letterwise", "generate", "--model_path", str(path), "--seed", "", "--num_tokens", "9"]
        taken = []
        for _ in range(1 + max(3, rounds)):
            began = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout
                assert process.stdout.read(1), "nothing was written"  # a refusal is quick, too
                taken.append(time.perf_counter() - began)
                process.stdout.read()
        return round(statistics.median(taken[1:]), 3)


if __name__ == "__main__":
    main()
