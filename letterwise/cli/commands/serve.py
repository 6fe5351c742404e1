"""`letterwise serve`: a form over `letterwise.serve`."""

import os
from typing import Any

from letterwise.cli.flags import Parser, add_options, title
from letterwise.cli.garbage import look_again
from letterwise.cli.output import to_stderr
from letterwise.config.arguments import parts
from letterwise.errors import UserError

KEY = "LETTERWISE_API_KEY"


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    from letterwise.serve.config import LimitConfig, PlaceConfig

    for kind in (PlaceConfig, LimitConfig):
        add_options(parser.add_argument_group(title(kind)), kind)


def run(flags: dict[str, Any]) -> int:
    """Serve."""
    try:
        from letterwise.serve.program import run as serve
    except ModuleNotFoundError as error:
        if (error.name or "letterwise").split(".")[0] == "letterwise":
            raise
        raise UserError(f"serving needs {error.name}: pip install 'letterwise[serve]'.") from None
    from letterwise.serve.config import LimitConfig, PlaceConfig, ServeConfig

    key = flags.get("api_key", None if flags.get("no_api_key") else os.environ.get(KEY) or None)
    place, limits = parts({**flags, "api_key": key}, PlaceConfig, LimitConfig)
    look_again()
    return serve(ServeConfig(place, limits), to_stderr)
