"""Compress, decompress: the real command line, two processes, and nothing but whole files."""

import json
from pathlib import Path

from command import letterwise, refused, started_by_python


def test_a_file_goes_there_and_back(tiny, text_file: Path, tmp_path: Path) -> None:
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    content = text_file.read_bytes()[:400] + "ÿ\r\n".encode() + b"\xff"
    (tmp_path / "in.txt").write_bytes(content)
    done = letterwise("compress", *model, "--input_file", tmp_path / "in.txt", "--output-file", tmp_path / "packed", "--json")
    told = json.loads(done.stdout)
    assert told["original_bytes"] == len(content)
    assert told["compressed_bytes"] == (tmp_path / "packed").stat().st_size < 200
    back = ("decompress", *model, "--input_file", tmp_path / "packed", "--output_file", tmp_path / "out")
    done = started_by_python(*back, NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="2")
    assert done.stdout == f"{len(content)} bytes: {tmp_path / 'out'}\n", done.stderr
    assert (tmp_path / "out").read_bytes() == content
    (tmp_path / "packed").write_bytes((tmp_path / "packed").read_bytes()[:-1])
    (tmp_path / "out").write_bytes(b"before")
    assert "damaged" in refused(*back)
    assert (tmp_path / "out").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out", "packed"]
    assert "cannot read" in refused("compress", *model, "--input_file", tmp_path / "no", "--output_file", tmp_path / "out")
