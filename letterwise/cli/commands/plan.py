"""`letterwise plan`: a form over `letterwise.training.planning.settings.plan`."""

from typing import Any

from letterwise.cli.commands import train
from letterwise.cli.output import json_to_stdout, terminal_safe, to_stdout
from letterwise.config.presets import asked_values, resolve
from letterwise.errors import UserError

add_flags = train.add_flags  # whatever `train` takes, so that one word turns a plan into a run


def run(flags: dict[str, Any]) -> int:
    """Say what `train` would choose."""
    own = {name: flags.pop(name) for name in train.OWN if name in flags}
    asked = asked_values(train.knobs(flags), own.get("config"))
    train.agree(own, asked)
    if own.get("resume"):
        raise UserError("--resume goes on as its run was planned, and nothing is left to plan: leave it out.")
    resolve(asked)  # object before torch is loaded
    from letterwise.progress import PlainProgress
    from letterwise.training.planning.settings import plan

    if own.keys() & {"seeds", "processes"}:  # of single models
        asked = {"members": 0, **asked}
    config, made = plan(asked, progress=PlainProgress())
    if own.get("json"):
        json_to_stdout({"values": made.values, "config": config.to_json(), "lines": made.lines})
    else:
        to_stdout("".join(f"{terminal_safe(line)}\n" for line in made.lines))
    return 0
