"""Compression: the validation part of a text in bytes, by a model that learned the rest, frozen, online and primed.

    python -m benchmarks.compression --model_path out/three-minutes/model.safetensors --text tinyshakespeare.txt

Other programs are given the training part first: what they need for all of the text, less what they need for that part. zpaq,
where it is installed, runs the model of its strongest method with the same tables for both: `-m5` takes as much memory as the
size of a file asks for, so that the difference of two of its archives is that of two models.
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

ZPAQ = "x6,0w2c0,1010,255i1c256ci1,1,1,1,1,1,2ac0,2,0,255i1c0,3,0,0,255i1c0,4,0,0,0,255i1mm16ts19t0"


def zpaq(content: bytes) -> bytes:
    """An archive of zpaq's, with what `-m5` is made of for a text, and tables for 64 MB."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "text").write_bytes(content)
        subprocess.run(["zpaq", "add", "a.zpaq", "text", "-method", ZPAQ], cwd=folder, check=True, capture_output=True)
        return Path(folder, "a.zpaq").read_bytes()


PEERS: dict[str, Callable[[bytes], bytes]] = {
    "xz -9e": partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME),
    "bzip2": bz2.compress,
}


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--model_path", required=True, help="model file that was trained on the text's first nine tenths")
    asked = parser.parse_args()
    text = asked.text.read_text(encoding="utf-8")
    cut = int(len(text) * (1 - 0.1))
    training, content = text[:cut].encode(), text[cut:].encode()
    for name, pack in (PEERS | ({"zpaq": zpaq} if shutil.which("zpaq") else {})).items():
        size = len(pack(training + content)) - len(pack(training))
        record(asked.append, benchmark="compression", contender=name, original_bytes=len(content), bytes=size)
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
            asked.append, benchmark="compression", contender=name, original_bytes=len(content),
            bytes=len(packed), params=model.params, compress_kb_per_second=round(len(content) / (packed_at - began) / 1e3, 2),
            decompress_kb_per_second=round(len(content) / (ended - packed_at) / 1e3, 2),
        )  # fmt: skip


if __name__ == "__main__":
    main()
