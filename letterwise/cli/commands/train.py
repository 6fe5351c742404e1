"""`letterwise train`: a form over `training.prepare.train`, `repeat` for several seeds, and `train_members` for an ensemble."""

import sys
from typing import Any

from letterwise.cli import PROCESS_STARTED
from letterwise.cli.flags import Parser, add_knobs, number
from letterwise.cli.output import json_to_stdout, terminal_safe, to_stderr, to_stdout
from letterwise.cli.program import place, program, words
from letterwise.config.presets import PRESETS, SIZES, asked_values, resolve
from letterwise.distributed.environment import LOST, speaks, started_by_torchrun
from letterwise.errors import UserError, quoted
from letterwise.machine import allowed

OWN = ("config", "out", "model_path", "resume", "overwrite", "seeds", "processes", "json")
MAX_PROCESSES = 1024
MAX_SEEDS = 1000


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags; the help shows the defaults of the preset and size that `arguments` name."""
    group = parser.add_argument_group("what and where")
    group.add_argument("--preset", metavar="|".join(PRESETS), help="architecture and training recipe (default: fast)")
    group.add_argument("--size", metavar="|".join(SIZES), help="size of the model (default: nano)")
    group.add_argument("--config", metavar="FILE", help="TOML file of flags; flags given here win")
    group.add_argument("--out", metavar="DIR", help="run directory (default: out/TEXT-PRESET)")
    group.add_argument("--model_path", metavar="FILE", help="model file, .safetensors or .pth (default: in the run directory)")
    group.add_argument("--resume", action="store_true", help="go on with the run in the run directory")
    group.add_argument("--overwrite", action="store_true", help="replace the run in the run directory")
    repeated = "train this often, with rng_seed, rng_seed+1, …, each in OUT/seed-N; --minutes is for each of them"
    group.add_argument("--seeds", type=number(int), metavar="N", help=repeated)
    several = "train in this many processes on this machine, each with its share of every batch (docs/scale.md)"
    group.add_argument("--processes", type=number(int), metavar="N", help=several)
    group.add_argument("--json", action="store_true", help="end with one line of JSON on stdout")
    add_knobs(parser, _shown(arguments))


def run(flags: dict[str, Any]) -> int:
    """Train, and print the result."""
    own = {name: flags.pop(name) for name in OWN if name in flags}
    asked = asked_values(knobs(flags), own.pop("config", None))
    agree(own, asked)
    if not own.get("resume"):  # then the run's own configuration is what flags must fit
        resolve(asked)  # object before torch is loaded
    if (processes := own.pop("processes", 1)) > 1 and not started_by_torchrun():
        return in_processes(processes)
    from letterwise.distributed.world import ProcessLost
    from letterwise.progress import progress_for_terminal
    from letterwise.runtime.accelerator import device_name
    from letterwise.training.interruption import Interrupted
    from letterwise.training.prepare import train
    from letterwise.training.several.members import completed, is_ensemble, train_members
    from letterwise.training.several.repeats import repeat

    as_json, progress = own.pop("json", False), progress_for_terminal()
    try:
        if "seeds" not in own and not own.get("resume"):
            asked = completed(asked, progress)
        placed = {name: own.get(name) for name in ("out", "model_path")}
        learn, spoken = (repeat, repeated_words) if "seeds" in own else (train, closing_words)
        if "seeds" not in own and is_ensemble(asked, **placed, resume=own.get("resume", False)):
            learn, spoken = train_members, ensemble_words
        result = learn(asked, progress=progress, started=PROCESS_STARTED, **own)
    except Interrupted as interrupted:
        if speaks():
            to_stderr(f"letterwise: {interrupted}: the same command with --resume goes on from there.")
        return 128 + interrupted.signal_number
    except ProcessLost:  # whoever started the processes says which
        return LOST
    if not speaks():
        return 0
    if as_json:
        json_to_stdout(result.to_json())
    else:
        to_stdout(spoken(result))
    if device_name(asked.get("device", "auto")) == "cpu":
        from letterwise.inference.cpu.ahead import begin

        begin()
    return 0


def in_processes(processes: int) -> int:
    """This very command, in so many processes."""
    from letterwise.distributed.launch import launch

    if processes > allowed():
        to_stderr(f"--processes {processes} on {allowed()} processors: they will wait for each other.")
    typed = sys.argv[1:] if sys.argv[1:2] == ["train"] else ["train", *sys.argv[1:]]  # train.py has no such word
    return launch(typed, processes, to_stderr)


def agree(own: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raises `UserError` where flags contradict each other."""
    processes = own.get("processes", 1)
    if not 1 <= processes <= MAX_PROCESSES:
        raise UserError(f"--processes {quoted(processes)} is no number of processes from 1 to {MAX_PROCESSES}.")
    if "seeds" in own and (processes > 1 or started_by_torchrun()):
        raise UserError("--seeds trains one run after another, each in a single process: leave out --processes.")
    for name in ("members", "distill"):
        if asked.get(name) and (processes > 1 or started_by_torchrun()):
            raise UserError(f"--{name} trains one model after another, each in a single process: leave out --processes.")
        if asked.get(name) and "seeds" in own:
            raise UserError(f"--seeds repeats a single model, and --{name} trains an ensemble: give one of the two.")
    if own.get("resume") and own.get("overwrite"):
        raise UserError("--resume continues a run and --overwrite replaces it: give one of them.")
    if (seeds := own.get("seeds")) is None:
        return
    if not 1 <= seeds <= MAX_SEEDS:
        raise UserError(f"--seeds {quoted(seeds)} is no number of runs from 1 to {MAX_SEEDS}: try --seeds 5.")
    if "model_path" in own:
        raise UserError("--seeds writes a model for each run and --model_path names a single one: give --out DIR instead.")


def knobs(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags as `config/declaration.py` holds them: lists are tuples there."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in flags.items()}


def closing_words(result: Any) -> str:
    """The result, for a person: bits, a sample, and the command that writes more."""
    from letterwise.training.report.result import estimate_words, forgetting_words

    bits, shown = result.best_val_bits_per_char, ("counting alone", "base model")
    held_out = "no validation part" if bits is None else f"{bits:.4f} bits per character on text it has not seen"
    notes = [f"{name}: {result.baselines[name]:.4f}" for name in shown if name in result.baselines]
    notes += [words for words in (estimate_words(result),) if words]
    held_out += f" ({'; '.join(notes)})" if notes else ""
    untouched = result.baselines.get("base model")
    if bits is not None and untouched is not None and untouched < bits:
        held_out += "\nThe base model does better as it was: it needs no fine-tuning for this text, or more minutes."
    elif bits is not None and untouched is not None and result.baselines["counting alone"] < bits:
        held_out += "\nCounting alone does better, and preset fast begins with that: leave out --init_from, or train longer."
    held_out += f"\n{forgetting_words(result)}; --replay 0.3 keeps more of it" if forgetting_words(result) else ""
    held_out += f"\n{result.advice}"
    places = terminal_safe(f"{result.model_path} · {result.run_dir}/report.html")
    return f"\n{terminal_safe(result.sample, one_line=False)}\n\n{held_out}\n{places}\n{generate_words(result)}\n"


def ensemble_words(result: Any) -> str:
    """A line for each member, with its weight; the ensemble's and its student's figure; and the command that writes more."""
    lines = []
    for nth, (run, weight) in enumerate(zip(result.members, result.weights, strict=True), 1):
        lines.append(
            f"member {nth}: {nats_words(run.best_val_nats_per_char)}, weight {weight:.3f}  {terminal_safe(run.run_dir)}"
        )
    fitted = f"weights fitted on {result.tuning_chars:,} characters of the training text that no member learned from"
    lines.append(f"ensemble: {nats_words(result.ensemble_nats)} ({fitted})  {terminal_safe(result.ensemble_path)}")
    if result.student:
        lines.append(
            f"student: {nats_words(result.student.best_val_nats_per_char)}, of one model that learned what they predict"
        )
    lines += [terminal_safe(result.model_path), generate_words(result)]
    return "\n".join(["", terminal_safe(result.sample, one_line=False), "", *lines, ""])


def nats_words(nats: float | None) -> str:
    """A validation's figure."""
    from letterwise.units import bits

    return "no validation part" if nats is None else f"{nats:.4f} nats = {bits(nats):.4f} bits per character"


def generate_words(result: Any) -> str:
    """The command that writes more with a trained model."""
    more = ["--lines", "10", "--unique", "--new"] if result.lines else ["--seed", result.opening, "--num_tokens", "300"]
    return f"{program('generate')} {words(['--model_path', place(result.model_path), *more])}"


def repeated_words(result: Any) -> str:
    """A line for each seed; their mean and spread; and the command that sets the runs side by side."""
    lines = []
    for seed, run in zip(result.seeds, result.runs, strict=True):
        lines.append(f"seed {seed}: {nats_words(run.best_val_nats_per_char)}  {terminal_safe(run.run_dir)}")
    (nats, nats_std), (bits, bits_std) = (result.mean_and_std(f"best_val_{unit}_per_char") for unit in ("nats", "bits"))
    if nats is not None and nats_std is not None:
        lines.append(
            f"mean of {len(result.runs)}: {nats:.4f} ± {nats_std:.4f} nats = {bits:.4f} ± {bits_std:.4f} bits per character "
            "(± is the sample standard deviation)"
        )
    if not result.same_characters:
        lines.append("These figures come from different characters of the validation text: their spread is not only chance.")
    if len(result.runs) > 1:
        lines.append(f"{program('compare')} {words(place(run.run_dir) for run in result.runs)}")
    return "\n" + "\n".join(lines) + "\n"


def _shown(arguments: list[str]) -> Any:
    """The configuration whose defaults the help shows."""
    if not {"-h", "--help"} & set(arguments):
        return resolve({})
    quick = Parser(prog="", add_help=False)
    quick.add_argument("--preset")
    quick.add_argument("--size")
    quick.add_argument("--config")
    named = vars(quick.parse_known_args(arguments)[0])
    shown = {name: named[name] for name in ("preset", "size") if name in named}
    return resolve(asked_values(shown, named.get("config")))
