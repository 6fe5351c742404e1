"""Compression: the validation part of a text in bytes, by a model that learned the rest, frozen, online and primed.

    python -m benchmarks.compression --model_path out/three-minutes/model.safetensors --text tinyshakespeare.txt

xz and bzip2 are given the training part first: what they need for all of the text, less what they need for that part.
Compressing counts its own check, decoding everything once. Each is undone and compared again.
"""

import bz2
import lzma
import time
from collections.abc import Callable
from functools import partial

from benchmarks.record import flags, record
from letterwise.api import load

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
    for name, pack in PEERS.items():
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
