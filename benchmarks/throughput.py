"""Throughput: characters per second of training at nanoGPT's two shapes, and the share of the processor's matrix speed.

    python -m benchmarks.throughput --nanogpt CHECKOUT

Contenders take turns, a few steps each, on the same batches: our gpt2 preset in float32 and in the arithmetic that `auto`
chooses, a plain restatement of nanoGPT's recipe (`plain.py`), and nanoGPT itself where a checkout is named. `same_loss`
starts our preset from nanoGPT's (or plain's) weights: the largest difference between the two curves over 50 steps of 12
sequences.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import nanogpt
from benchmarks.plain import PlainGPT
from benchmarks.record import flags, record
from letterwise.config import Config, RuntimeConfig
from letterwise.config.accounting import flops_per_char
from letterwise.config.presets import resolve
from letterwise.loss import cross_entropy
from letterwise.model import Transformer, build, initialize
from letterwise.runtime.device import Runtime, find_runtime
from letterwise.training.optimizers.optimizer import build_optimizers

VOCAB_SIZE = 65
SHAPES = [
    dict(n_layer=4, n_head=4, n_embd=128, block_size=64, batch_size=12),
    dict(n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=64),
]
RECIPE = {"preset": "gpt2", "bias": False, "beta2": 0.99}
CURVE_STEPS, CURVE_BATCH = 50, 12  # at the larger shape, 50 of its own batches would take a quarter of an hour
Step = Callable[[Tensor, Tensor], float]


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    peak = sgemm()
    record(asked.append, benchmark="throughput", sgemm_gflops=round(peak / 1e9))
    for shape in SHAPES:
        config = resolve({**RECIPE, **shape})
        steps = 20 if shape["n_layer"] == 4 else 2
        tokens = torch.randint(VOCAB_SIZE, (steps, shape["batch_size"], shape["block_size"] + 1))
        contenders = {
            "plain": reference(plain(config), config),
            "letterwise float32": ours(config, Runtime(torch.device("cpu"), torch.float32)),
            "letterwise auto": ours(config, find_runtime(RuntimeConfig(device="cpu"))),
        }
        if asked.nanogpt:
            contenders["nanoGPT"] = reference(theirs(asked.nanogpt, config), config)
        base = "nanoGPT" if asked.nanogpt else "plain"
        speeds: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(asked.rounds + 1):
            for name, step in contenders.items():
                began = time.perf_counter()
                for batch in tokens:
                    step(batch[:, :-1], batch[:, 1:])
                if turn:  # the first warms up
                    speeds[name].append(tokens[:, :, 1:].numel() / (time.perf_counter() - began))
        flops = 3 * flops_per_char(config.model, VOCAB_SIZE)
        for name, each in speeds.items():
            ratio = statistics.median(a / b for a, b in zip(each, speeds[base], strict=True))
            figures = {"chars_per_second": round(statistics.median(each)), f"over_{base}": round(ratio, 2)}
            figures["share_of_sgemm"] = round(statistics.median(each) * flops / peak, 2)
            record(asked.append, benchmark="throughput", contender=name, **shape, **figures)
        curve = {**shape, "batch_size": min(shape["batch_size"], CURVE_BATCH)}
        for name, far in same_loss(resolve({**RECIPE, **curve}), asked.nanogpt).items():
            record(asked.append, benchmark="throughput", contender=name, **curve, largest_difference=far)


def sgemm() -> float:
    """The best float32 matrix speed seen, in operations per second."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * 2048**3 / min(seconds)


def ours(config: Config, runtime: Runtime, weights: dict[str, Tensor] | None = None) -> Step:
    """A step of our training: forward, backward, optimizer."""
    model: Transformer = initialize(build(config.model, VOCAB_SIZE), 0)
    if weights:
        model.load_state_dict(weights)
    optimizers = build_optimizers(model, config.training, dtype=runtime.dtype)

    def step(x: Tensor, y: Tensor) -> float:
        with runtime.autocast():
            nats = cross_entropy(model(x), y)
        nats.backward()
        optimizers.step()
        return nats.item()

    return step


def reference(model: nn.Module, config: Config) -> Step:
    """A step as nanoGPT takes it, for a model that gives its loss."""
    decayed = [w for w in model.parameters() if w.ndim >= 2]
    rest = [w for w in model.parameters() if w.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.training.learning_rate, betas=(0.9, 0.99))

    def step(x: Tensor, y: Tensor) -> float:
        loss = model(x.contiguous(), y.contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


class Loss(nn.Module):
    """A model and how its loss is had from it."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.model, x, y)


def plain(config: Config) -> Loss:
    """The plain restatement, of one shape."""
    shape = config.model
    model = PlainGPT(VOCAB_SIZE, shape.n_layer, shape.n_head, shape.n_embd, shape.block_size)
    return Loss(model, lambda model, x, y: F.cross_entropy(model(x).flatten(0, 1), y.flatten()))


def theirs(checkout: Path, config: Config) -> Loss:
    """nanoGPT's own model, with its own loss."""
    module, shape = nanogpt.model_module(checkout), config.model
    sizes = dict(n_layer=shape.n_layer, n_head=shape.n_head, n_embd=shape.n_embd, block_size=shape.block_size)
    model = module.GPT(module.GPTConfig(vocab_size=VOCAB_SIZE, dropout=0.0, bias=False, **sizes))
    return Loss(model, lambda model, x, y: model(x, y)[1])


def same_loss(config: Config, checkout: Path | None) -> dict[str, float]:
    """How far our loss curve is from the reference's at most, from the same weights on the same batches, in nats."""
    told = {}
    for name, runtime in (
        ("letterwise float32", Runtime(torch.device("cpu"), torch.float32)),
        ("letterwise auto", find_runtime(RuntimeConfig(device="cpu"))),
    ):
        model = theirs(checkout, config) if checkout else plain(config)
        step, reference_step = ours(config, runtime, renamed(model, config)), reference(model, config)
        generator = torch.Generator().manual_seed(1)
        shape = (CURVE_STEPS, config.training.batch_size, config.model.block_size + 1)
        even = torch.randint(VOCAB_SIZE, shape, generator=generator)
        skewed = even.square() // VOCAB_SIZE  # so that there is something to learn
        told[name] = max(abs(step(b[:, :-1], b[:, 1:]) - reference_step(b[:, :-1], b[:, 1:])) for b in skewed)
    return told


def renamed(model: nn.Module, config: Config) -> dict[str, Tensor]:
    """The reference's weights under our names."""
    held = {
        name.removeprefix("model.").removeprefix("transformer."): w.detach().clone() for name, w in model.state_dict().items()
    }
    plainly = {"tokens.weight": "tokens.weight", "places.weight": "positions.table", "norm.weight": "norm.weight"}
    nanogpts = {"wte.weight": "tokens.weight", "wpe.weight": "positions.table", "ln_f.weight": "norm.weight"}
    for i in range(config.model.n_layer):
        ours = f"blocks.{i}."
        names = ["attention_norm", "attention.qkv", "attention.out", "feedforward_norm", "feedforward.up", "feedforward.down"]
        for name, a, b in zip(
            names,
            ["norms.0", "qkv", "out", "norms.1", "up", "down"],
            ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"],
            strict=True,
        ):
            plainly[f"blocks.{i}.{a}.weight"] = nanogpts[f"h.{i}.{b}.weight"] = f"{ours}{name}.weight"
    names = nanogpts if "wte.weight" in held else plainly
    told = {ours: held[theirs] for theirs, ours in names.items()}
    return {**told, "head.weight": told["tokens.weight"]}


if __name__ == "__main__":
    main()
