"""llama2.c, run from a checkout that the caller names: its own forward pass and sampler, unchanged, on fresh weights.

Its `main` asks for a tokenizer and tells milliseconds. A few lines of C of ours call the same two functions for as long as it
takes to measure them, and begin again at its first position whenever the context is full, which it cannot go beyond.
"""

import os
import subprocess
from pathlib import Path

import numpy as np

HARNESS = r"""
#define TESTING
#include "run.c"

int main(int argc, char** argv) {
    Transformer transformer;
    Sampler sampler;
    int chars = atoi(argv[2]), token = 0;
    struct timespec began, ended;
    build_transformer(&transformer, argv[1]);
    build_sampler(&sampler, transformer.config.vocab_size, 0.8f, 1.0f, 1);
    for (int i = -chars / 10; i < chars; i++) {
        if (i == 0) clock_gettime(CLOCK_MONOTONIC, &began);
        int place = (i + chars) % transformer.config.seq_len;
        token = sample(&sampler, forward(&transformer, token, place));
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%f\n", chars / ((ended.tv_sec - began.tv_sec) + 1e-9 * (ended.tv_nsec - began.tv_nsec)));
    return 0;
}
"""


def compiled(checkout: Path, workplace: Path) -> Path:
    """The program, compiled as its readme says for speed."""
    source, program = workplace / "harness.c", workplace / "harness"
    source.write_text(HARNESS)
    flags = ["-Ofast", "-fopenmp", "-march=native", f"-I{checkout}"]
    subprocess.run(["gcc", *flags, str(source), "-lm", "-o", str(program)], check=True)
    return program


def checkpoint(path: Path, *, n_layer: int, n_head: int, n_embd: int, block_size: int, hidden: int, vocab_size: int) -> None:
    """Fresh weights of this shape in its format, the output layer a matrix of its own."""
    header = np.array([n_embd, hidden, n_layer, n_head, n_head, -vocab_size, block_size], np.int32)
    matrices = n_layer * (4 * n_embd * n_embd + 3 * n_embd * hidden) + 2 * vocab_size * n_embd
    vectors = (2 * n_layer + 1) * n_embd + block_size * n_embd // n_head
    numbers = np.random.default_rng(0).normal(0, 0.02, matrices + vectors).astype(np.float32)
    path.write_bytes(header.tobytes() + numbers.tobytes())


def chars_per_second(program: Path, weights: Path, chars: int, threads: int) -> float:
    """How fast it writes."""
    done = subprocess.run(
        [str(program), str(weights), str(chars)], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    return float(done.stdout)
