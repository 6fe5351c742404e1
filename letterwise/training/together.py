"""Together: what the processes of a run settle before they begin: the text, the configuration, and which processor is whose.

first process: text, plan, memory ──settled──▶ Config, TokenStream ──told──▶ all processes, each of which maps the same file
"""

from dataclasses import replace

import torch

from letterwise.checkpoint.training_state import TrainingState
from letterwise.config import Config, RuntimeConfig
from letterwise.config.presets import knob_values
from letterwise.data.cache import reopen
from letterwise.data.prepare import prepare
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary
from letterwise.distributed.world import World
from letterwise.errors import UserError
from letterwise.machine import memory_available
from letterwise.progress import Progress
from letterwise.runtime.device import Runtime, find_runtime
from letterwise.training.planning.memory import fitted_to_memory, gpu_note
from letterwise.training.planning.settings import days_note, fitted, open_text, planned


def own_runtime(config: RuntimeConfig, world: World) -> Runtime:
    """The device and arithmetic of this process: of several on a machine with several GPUs, each has its own."""
    if not world.alone and config.device in ("auto", "cuda") and torch.cuda.is_available():
        if world.local_size > torch.cuda.device_count():
            raise UserError(
                f"{world.local_size} processes on this machine need as many GPUs, and it has {torch.cuda.device_count()}: "
                "start fewer, or give --device cpu."
            )
        config = replace(config, device=f"cuda:{world.local_rank}")
    runtime = find_runtime(config)
    if runtime.device.type == "cuda":
        torch.cuda.set_device(runtime.device)
    return replace(runtime, processes=world.size)


def settled(
    config: Config,
    state: TrainingState | None,
    progress: Progress,
    asked: set[str],
    known: Vocabulary | None,
    runtime: Runtime,
    world: World,
) -> tuple[Config, TokenStream]:
    """The run's text, and its configuration, completed for this text and machine. `known` is a base model's vocabulary.

    Raises `UserError` when it does not fit into memory, or the text is not the run's own.
    """
    available = memory_available() if runtime.device.type == "cpu" else None  # a GPU's own runs out with a sentence
    if available is not None:
        available //= world.local_size
    fitted_to_memory(config, asked, vocab_size=1, chars=0, available=available)  # what can never fit reads no text
    config, stream = open_text(config, state, progress, asked, known)
    free = not asked.issuperset(knob_values(config))  # is there anything left to choose?
    if config.training.minutes and config.model.n_layer and not state and not config.training.init_from and free:
        config, made = planned(config, asked, stream, runtime)
        for line in made.lines:
            progress.note(line)
    if not state:
        config = fitted(config, asked, stream, progress)
        size = {"vocab_size": len(stream.vocabulary), "chars": len(stream.part("train"))}
        config, note = fitted_to_memory(config, asked, **size, available=available)
        for line in (note, days_note(config, size["vocab_size"], runtime), memory_note(config, size["vocab_size"], runtime)):
            if line:
                progress.note(line)
    return config, stream


def memory_note(config: Config, vocab_size: int, runtime: Runtime) -> str:
    """A note where the GPU's memory may not do; "" elsewhere."""
    if runtime.device.type != "cuda":
        return ""
    available, _ = torch.cuda.mem_get_info(runtime.device)
    halved, processes = runtime.dtype == torch.bfloat16, runtime.processes
    return gpu_note(config, vocab_size=vocab_size, available=available, processes=processes, halved=halved)


def told_settings(
    config: Config, stream: TokenStream | None, known: Vocabulary | None, world: World
) -> tuple[Config, TokenStream]:
    """What the first process settled; the others give no `stream`, and take the text from the cache, or read it themselves."""
    settings, fingerprint = world.told((config, stream.fingerprint if stream else ""))
    if stream:
        return settings, stream
    found = reopen(fingerprint) or prepare(settings.data, base=known, note=Progress().note)
    if found.fingerprint != fingerprint:
        raise UserError(f"process {world.rank} reads another text than the first: all need the same files.")
    return settings, found.keeping_back(settings.training.tuning_fraction or 0.0)


def require_share(config: Config, world: World) -> None:
    """Raises `UserError` when there are more processes than sequences to share."""
    sequences = config.training.sequences
    if world.size > sequences:
        raise UserError(
            f"{world.size} processes have {sequences} {'sequence' if sequences == 1 else 'sequences'} a step to share: "
            f"start {sequences} at most, or raise --batch_size."
        )
