"""Configuration of the server: flags of `letterwise serve`, each declared once."""

from dataclasses import dataclass, field

from letterwise.config.knob import check, knob
from letterwise.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class PlaceConfig:
    """What to serve, and where."""

    model_path: tuple[str, ...] = knob((), "model files to serve; the first is the default (without: the newest runs)")
    runs: str | None = knob(None, "folder of run directories: their curves, and their models (default: out)", metavar="DIR")
    host: str = knob("127.0.0.1", "address to listen on; any but this machine's own needs --api_key", metavar="NAME")
    port: int = knob(8000, "port to listen on (0: any that is free)", min=0, max=65535)
    allow_host: tuple[str, ...] = knob((), "names under which a proxy offers this server (Host and Origin)", metavar="NAME")
    api_key: str | None = knob(None, "ask for this key (also: LETTERWISE_API_KEY)", metavar="KEY")
    no_api_key: bool = knob(False, "let everyone in who can reach --host")
    open: bool = knob(False, "open the page in a browser")
    device: str = knob("auto", "auto, cpu, cuda, cuda:1, mps")
    log_json: bool = knob(False, "access log as JSON lines")

    def __post_init__(self) -> None:
        check(self)
        if self.api_key == "":
            raise UserError("--api_key is empty: give a key, or leave it out.")
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key):
            raise UserError("--api_key must be of printable ASCII characters without spaces: others do not fit a header.")
        if self.api_key and self.no_api_key:
            raise UserError("--api_key and --no_api_key do not go together: leave out one of them.")
        if self.host not in LOOPBACK and not self.api_key and not self.no_api_key:
            raise UserError(
                f"--host {self.host!r} can be reached by others: give --api_key, or --no_api_key to let everyone in."
            )


@dataclass(frozen=True)
class LimitConfig:
    """How much one may ask for."""

    max_prompt: int = knob(100_000, "characters in a prompt, or in a text to score", min=1, max=10_000_000)
    max_tokens: int = knob(10_000, "characters to write in one text", min=1, max=10_000_000)
    max_choices: int = knob(64, "texts in one request: prompts times n", min=1, max=10_000)
    max_rows: int = knob(256, "texts written side by side with one model", min=1, max=10_000)
    max_queue: int = knob(
        512, "texts that wait for their turn (and requests of other kinds); more are answered with 429", min=0, max=1_000_000
    )
    max_seconds: float = knob(300.0, "seconds for one request, its wait included", above=0, metavar="S")
    max_body: int = knob(4_000_000, "bytes in the body of a request", min=1_000, max=1_000_000_000)
    max_connections: int = knob(1_000, "connections at once; more are answered with 503", min=1, max=100_000)
    grace: float = knob(10.0, "seconds that running requests have to finish, when the server is stopped", min=0, metavar="S")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ServeConfig:
    """All of it."""

    place: PlaceConfig = field(default_factory=PlaceConfig)
    limits: LimitConfig = field(default_factory=LimitConfig)
