"""Compression: the validation part of a text in bytes, by a model that learned the rest, frozen, online and primed.

    python -m benchmarks.compression --model_path out/three-minutes/model.safetensors --text tinyshakespeare.txt

Other programs are given the training part first: what they need for all of the text, less what they need for that part. 7z and
zpaq take part where they are installed. zpaq runs the model of its strongest method with the same tables for both: `-m5` takes
as much memory as the size of a file asks for, so that the difference of two of its archives is that of two models. 7z takes the
order of context that makes the shortest archive: with too long ones its memory runs out, and it forgets all, in one of the two.
Compressing counts its own check, decoding everything once. Each is undone and compared again.
"""

import bz2
import lzma
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.record import flags, record
from letterwise.api import load

# what zpaq's `-m5` is made of for a text, with tables for 64 MB
ZPAQ = "x6,0w2c0,1010,255i1c256ci1,1,1,1,1,1,2ac0,2,0,255i1c0,3,0,0,255i1c0,4,0,0,0,255i1mm16ts19t0"
ORDERS = 6, 8, 10, 16  # of PPMd's contexts
PROGRAMS = {  # commands that make an archive `a` of a file `text`; the shortest counts
    "7z PPMd": [["7z", "a", "-t7z", f"-m0=PPMd:o={order}", "a", "text"] for order in ORDERS],
    "zpaq": [["zpaq", "add", "a", "text", "-method", ZPAQ]],
}


def shortest(commands: list[list[str]], content: bytes) -> bytes:
    """The shortest archive that these commands make of it."""
    return min((archive(command, content) for command in commands), key=len)


def archive(command: list[str], content: bytes) -> bytes:
    """What a program makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "text").write_bytes(content)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return next(Path(folder).glob("a*")).read_bytes()


PEERS: dict[str, Callable[[bytes], bytes]] = {
    "xz -9e": partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME),
    "bzip2": bz2.compress,
} | {name: partial(shortest, commands) for name, commands in PROGRAMS.items() if shutil.which(commands[0][0])}


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--model_path", required=True, help="model file that was trained on the text's first nine tenths")
    asked = parser.parse_args()
    text = asked.text.read_text(encoding="utf-8")
    cut = int(len(text) * (1 - 0.1))
    training, content = text[:cut].encode(), text[cut:].encode()
    told = {"benchmark": "compression", "text": asked.text.stem, "original_bytes": len(content)}
    for name, pack in PEERS.items():
        size = len(pack(training + content)) - len(pack(training))
        record(asked.append, **told, contender=name, bytes=size)
    model = load(asked.model_path, device="cpu")
    model.compress(content[:1000])  # so that everything is compiled
    for name in ("frozen", "online", "primed"):
        began = time.perf_counter()
        packed = model.compress(content, online=name == "online", primed=name == "primed")
        packed_at = time.perf_counter()
        if model.decompress(packed) != content:
            raise SystemExit("what came back is not what went in.")
        ended = time.perf_counter()
        record(
            asked.append, **told, contender=name, bytes=len(packed), params=model.params,
            compress_kb_per_second=round(len(content) / (packed_at - began) / 1e3, 2),
            decompress_kb_per_second=round(len(content) / (ended - packed_at) / 1e3, 2),
        )  # fmt: skip


if __name__ == "__main__":
    main()
