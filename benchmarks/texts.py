"""Texts: what is learned in the benchmarks. One is named on the command line, three are on every machine.

shakespeare      --text FILE (tiny Shakespeare, in the figures we publish)
python-docs      the language reference that ships inside Python
unicode-names    a name per line
source-code      the first modules of Python's own library, in alphabetical order, up to a million characters
"""

import hashlib
import lzma
import sysconfig
from pathlib import Path

from letterwise.config import DataConfig
from letterwise.data.prepare import prepare
from letterwise.units import nats

SOURCE_CHARS = 1_000_000


def texts(shakespeare: Path | None, folder: Path) -> dict[str, Path]:
    """Every text as a file, by name; those that have to be made are made in `folder`."""
    found = {"shakespeare": shakespeare.absolute()} if shakespeare else {}
    for name in ("python-docs", "unicode-names"):
        stream = prepare(DataConfig(dataset=name), note=lambda text: None)
        found[name] = folder / f"{name}.txt"
        found[name].write_text(stream.vocabulary.decode(stream.ids), encoding="utf-8", newline="")
    found["source-code"] = folder / "source-code.txt"
    found["source-code"].write_text(source_code(), encoding="utf-8", newline="")
    return found


def source_code() -> str:
    """Modules of the standard library, whole, until there are enough characters."""
    parts, chars = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        parts.append(path.read_text(encoding="utf-8"))
        chars += len(parts[-1])
        if chars >= SOURCE_CHARS:
            break
    return "".join(parts)


def fingerprint(path: Path) -> str:
    """The first half of the text's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def xz_nats(path: Path, val_fraction: float = 0.1) -> float:
    """Nats per character of the validation part for xz that has packed the training part before it."""
    text = path.read_text(encoding="utf-8")
    cut = int(len(text) * (1 - val_fraction))
    packed = [len(lzma.compress(part.encode(), preset=9 | lzma.PRESET_EXTREME)) for part in (text[:cut], text)]
    return nats(8 * (packed[1] - packed[0]) / (len(text) - cut))
