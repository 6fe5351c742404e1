"""Matmul: a matrix times some vectors, in steps of 16 numbers (simd.py), compiled by numba.

    x (R, K) ──matrix (J, K), in tiles──▶ y (R, J)              y = matrix · x
    shares (T,) ──vectors (T, D), in strips──▶ y (D,)           y = the sum of all vectors, each times its share

A tile is 8 outputs by 16 inputs, and tiles lie in the order in which they are read, so that a matrix goes by once, as one run
of memory. Eight outputs of one to three vectors are summed at a time, 16 partial sums each. A strip is 16 numbers of every
vector. In tiles (as an output) and in strips, one vector more fills whole lines of the cache: so a text's keys and values grow.

The order of a sum depends on nothing but its length: products are the same bits in any company, with any number of threads.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from letterwise.compiling.parts import part
from letterwise.inference.cpu import matmul_in_numpy
from letterwise.inference.cpu.simd import LANES, Code, number

OUTPUTS = 8  # a tile has so many, and LANES inputs
FAR, AHEAD = 2**18, 256  # a matrix of more numbers comes from far away: these many numbers ahead are sent for
SIDE_BY_SIDE = 8  # vectors of a strip that are added up apart
compiled: Any = intrinsic  # for whoever checks types: it is called with what was compiled in place


def in_tiles(matrix: np.ndarray) -> np.ndarray:
    """A matrix (J, K) as one run of tiles, float32; zeros where it ends within one."""
    outputs, inputs = matrix.shape
    whole = np.zeros((padded(outputs, OUTPUTS), padded(inputs)), np.float32)
    whole[:outputs, :inputs] = matrix
    return whole.reshape(len(whole) // OUTPUTS, OUTPUTS, -1, LANES).transpose(0, 2, 1, 3).reshape(-1)


@part(small=True, _nrt=False)
def padded(size, step=LANES):
    """`size`, up to the next multiple of `step`."""
    return (size + step - 1) // step * step


def tile_product(vectors: int, far: bool = False) -> Any:
    """A function for compiled code: eight outputs of so many vectors. If `far`, it sends for what is `ahead` in the matrix.

    (matrix, its place, x, its place, y, its place, numbers of a vector of x, and from one vector to the next in y, ahead)
    """

    @compiled
    def product(typing_context, matrix, tile, x, x_place, y, y_place, x_step, y_step, ahead):
        signature = types.void(matrix, types.int64, x, types.int64, y, types.int64, types.int64, types.int64, types.int64)

        def generate(context, builder, signature, arguments):
            code = Code(context, builder, signature, arguments)
            _, tile, _, x_place, _, y_place, x_step, y_step, ahead = arguments
            weights, first, outputs = code.begin(0, tile), code.begin(2, x_place), code.begin(4, y_place)
            xs = [code.place(first, builder.mul(x_step, number(v))) for v in range(vectors)]

            def factors(k: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
                mine, at = [code.load(code.place(x, k)) for x in xs], builder.mul(k, number(OUTPUTS))
                rows = [code.place(weights, at, number(j * LANES)) for j in range(OUTPUTS)]
                for row in rows if far else []:
                    code.send_for(code.place(row, ahead))
                return [(row, x) for row in map(code.load, rows) for x in mine]

            sums = code.sums(x_step, LANES, OUTPUTS * vectors, factors)
            for v in range(vectors):
                code.store(_folded(code, sums[v::vectors]), code.place(outputs, builder.mul(y_step, number(v))))
            return context.get_dummy_value()

        return signature, generate

    return product


def _folded(code: Code, vectors: list[ir.Value]) -> ir.Value:
    """The sum of each of eight vectors' numbers, as one vector: pairs are woven into one and folded, until one is left."""
    step = 1  # of 2·step numbers in a row, the first half are now a vector's, and the others those of the next
    while len(vectors) > 1:
        first = [lane if lane // step % 2 == 0 else lane - step + LANES for lane in range(LANES)]
        second = [lane + step for lane in first]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [code.builder.fadd(code.pick(*pair, first), code.pick(*pair, second)) for pair in pairs]
        step *= 2
    return code.builder.fadd(*(code.pick(*vectors * 2, half) for half in ([*range(OUTPUTS)], [*range(OUTPUTS, LANES)])))


@compiled
def strip_sum(typing_context, vectors, strip, shares, count, y, y_place, ahead):
    """16 numbers of the sum of `count` vectors, a multiple of 8, each times its share. It sends for what is `ahead`.

    (vectors, the strip's place, shares, their count, y, its place, ahead)
    """
    signature = types.void(vectors, types.int64, shares, types.int64, y, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        code = Code(context, builder, signature, arguments)
        _, strip, _, count, _, y_place, ahead = arguments
        numbers, shares = code.begin(0, strip), code.begin(2)

        def factors(t: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
            at = builder.mul(t, number(LANES))
            rows = [code.place(numbers, at, number(j * LANES)) for j in range(SIDE_BY_SIDE)]
            for row in rows:
                code.send_for(code.place(row, ahead))
            return [(code.load(row), code.load_everywhere(code.place(shares, t, number(j)))) for j, row in enumerate(rows)]

        sums = code.sums(count, SIDE_BY_SIDE, SIDE_BY_SIDE, factors)
        while len(sums) > 1:
            sums = [builder.fadd(one, other) for one, other in zip(sums[::2], sums[1::2], strict=True)]
        code.store(*sums, code.begin(4, y_place))
        return context.get_dummy_value()

    return signature, generate


of_one, of_one_far, of_two, of_three = tile_product(1), tile_product(1, far=True), tile_product(2), tile_product(3)


@part(python=matmul_in_numpy.project, _nrt=False)
def project(matrix, x, count, y, thread, threads):
    """y[r] = matrix · x[r] for the first `count` rows of x (R, K) into y (R, J), both padded: this thread's share of outputs.

    `matrix` is a run of tiles; what is behind x's numbers must be zeros.
    """
    inputs, width = x.shape[1], y.shape[1]
    tile = inputs * OUTPUTS
    tiles = matrix.size // tile
    for i in range(tiles * thread // threads, tiles * (thread + 1) // threads):
        if count == 1 and matrix.size > FAR:
            of_one_far(matrix, i * tile, x, 0, y, i * OUTPUTS, inputs, width, AHEAD)
            continue
        for r in range(0, count - 2, 3):
            of_three(matrix, i * tile, x, r * inputs, y, r * width + i * OUTPUTS, inputs, width, 0)
        r = count - count % 3
        if count % 3 == 2:
            of_two(matrix, i * tile, x, r * inputs, y, r * width + i * OUTPUTS, inputs, width, 0)
        elif count % 3:
            of_one(matrix, i * tile, x, r * inputs, y, r * width + i * OUTPUTS, inputs, width, 0)


@part(small=True, _nrt=False)
def tile_place(output, input, inputs):
    """Where a number of a matrix lies in its run of tiles, `inputs` (padded) wide."""
    within = input // LANES * OUTPUTS * LANES + output % OUTPUTS * LANES + input % LANES
    return output // OUTPUTS * inputs * OUTPUTS + within


@part(small=True, _nrt=False)
def strip_place(vector, d, vectors):
    """Where a number of a vector lies in a run of strips of so many `vectors`."""
    return (d // LANES * vectors + vector) * LANES + d % LANES


@part(python=matmul_in_numpy.compare, _nrt=False)
def compare(keys, q, seen, y):
    """y[t] = keys[t] · q (D,) for the first `seen` places, up to a whole tile.

    `keys` is a run of tiles, filled up with zeros: what those meet behind q may be any numbers. The same places behind these
    keys, where another head's begin, are sent for.
    """
    inputs = padded(q.size)
    for i in range(padded(seen, OUTPUTS) // OUTPUTS):
        of_one_far(keys, i * inputs * OUTPUTS, q, 0, y, i * OUTPUTS, inputs, 0, keys.size)


@part(python=matmul_in_numpy.blend, _nrt=False)
def blend(values, shares, seen, y):
    """y (D,), padded, = the sum of the first `seen` values (T, D), each times its share.

    `values` is a run of strips, as long as `shares` (T,), padded; up to the next multiple of 8, shares are zeros.
    """
    strip = padded(shares.size) * LANES
    for i in range(y.size // LANES):
        strip_sum(values, i * strip, shares, padded(seen, SIDE_BY_SIDE), y, i * LANES, strip)
