"""Matmul: a matrix times some vectors, in steps of 16 numbers (simd.py), compiled by numba.

    x (N, K) ──matrix (J, K), in tiles──▶ y (N, J)              y = matrix · x
    weights (T,) ──vectors (T, D), in strips──▶ y (D,)          y = the sum of all vectors, each times its weight
    x (N, K) ──matrix (J, K), in panels──▶ y (N, J)             the same product, for many vectors at once

A tile is 8 outputs by 16 inputs, and tiles lie in the order in which they are read: a matrix is read once, from its
first number to its last. Eight outputs of one to three vectors are summed at a time, 16 partial sums each. A strip is 16
numbers of every vector. In tiles (as an output) and in strips, one vector more fills whole lines of the processor's cache: so a
text's keys and values grow. A panel is 16 outputs, all of one input before those of the next. As many vectors as registers have
room for take 16 outputs each: nothing is added up across lanes. That is faster for many vectors, and in another order.

The order of a sum depends on nothing but its length: products are the same bits in any batch, with any number of threads.
"""

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features

from letterwise.compiling.called import instructions
from letterwise.compiling.parts import part
from letterwise.inference.cpu import matmul_in_numpy
from letterwise.inference.cpu.simd import LANES, Code, number

OUTPUTS = 8  # of a tile; it has LANES inputs
PREFETCHED = 2**18  # a matrix of more numbers is not in the processor's cache
AHEAD = 256  # of such a matrix, so many numbers ahead are prefetched
ACCUMULATORS = 8  # of a strip, every eighth vector is added to the same one


def to_tiles(matrix: np.ndarray) -> np.ndarray:
    """A matrix (J, K) in tiles, float32; zeros where it ends within one."""
    outputs, inputs = matrix.shape
    whole = np.zeros((padded(outputs), padded(inputs)), np.float32)
    whole[:outputs, :inputs] = matrix
    return whole.reshape(len(whole) // OUTPUTS, OUTPUTS, -1, LANES).transpose(0, 2, 1, 3).reshape(-1)


def to_panels(matrix: np.ndarray) -> np.ndarray:
    """A matrix (J, K) in panels, float32; as many numbers as in tiles."""
    outputs, inputs = matrix.shape
    whole = np.zeros((padded(outputs), padded(inputs)), np.float32)
    whole[:outputs, :inputs] = matrix
    return whole.reshape(-1, LANES, whole.shape[1]).transpose(0, 2, 1).reshape(-1)


@part(small=True)
def padded(size, step=LANES):
    """`size`, up to the next multiple of `step`."""
    return (size + step - 1) // step * step


def sums_at_once(wanted: int, each: int = 1) -> int:
    """How many of the `wanted` sums, a power of two, times `each`, the processor's registers hold.

    With AVX-512 there are 32 registers of 16 numbers. Else there are 16, of 8 numbers at most: two for each sum.
    """
    room = 24 if get_host_cpu_features().get("avx512f") else 6
    while wanted * each > room:
        wanted //= 2
    return wanted


def tile_product(vectors: int, prefetch: bool = False) -> Any:
    """A function for compiled code: eight outputs of so many vectors. With `prefetch` it fetches what is `ahead` in the matrix.

    `begin` says where in matrix, x and y it begins, `steps` how far it is from one vector to the next, in x and in y.
    """

    @instructions()
    def product(context, builder, signature, arguments):
        """(matrix, x, y, begin, steps, ahead): a tile, OUTPUTS · `steps[0]` numbers of the matrix, times each vector."""
        code = Code(context, builder, signature, arguments)
        weights, first, outputs = map(code.begin, range(3), code.integers(3))
        (x_step, y_step), ahead = code.integers(4), arguments[5]
        xs = [code.offset(first, builder.mul(x_step, number(v))) for v in range(vectors)]

        def factors(outputs: range, k: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
            """Of these outputs and inputs k to k + LANES: a row of the tile and a piece of x, for each output and vector."""
            inputs, at = [code.load(code.offset(x, k)) for x in xs], builder.mul(k, number(OUTPUTS))
            rows = [code.offset(weights, at, number(j * LANES)) for j in outputs]
            for row in rows if prefetch else []:
                code.prefetch(code.offset(row, ahead))
            return [(row, x) for row in map(code.load, rows) for x in inputs]

        step = sums_at_once(OUTPUTS, vectors)
        at_once = OUTPUTS if vectors == 1 else step  # of several vectors, all sums would be too many for the registers
        sums = list[ir.Value]()
        for output in range(0, OUTPUTS, step):
            some = range(output, output + step)
            sums += code.sums(x_step, LANES, step * vectors, partial(factors, some))
            if (output + step) % at_once == 0:
                first = code.offset(outputs, number(output + step - at_once))
                _store(code, sums, [code.offset(first, builder.mul(y_step, number(v))) for v in range(vectors)])
                sums = []
        return context.get_dummy_value()

    return product


def _store(code: Code, sums: list[ir.Value], places: list[ir.Value]) -> None:
    """The sums' totals: those of each vector, of which there are as many as places, to its place."""
    vectors, each = len(places), len(sums) // len(places)
    at_once = OUTPUTS // each  # so many vectors' sums are added up together
    for first in range(0, vectors, at_once):
        some = range(first, min(first + at_once, vectors))
        totals = _pairwise(code, [total for v in some for total in sums[v::vectors]])
        for i, v in enumerate(some):
            code.store(code.shuffle(totals, totals, [*range(i * each, (i + 1) * each)]), places[v])


def _pairwise(code: Code, vectors: list[ir.Value]) -> ir.Value:
    """The sum of each of up to eight vectors' numbers, as one vector: pairs are interleaved and added, until one is left."""
    vectors = (vectors * OUTPUTS)[:OUTPUTS]
    step = 1  # of 2·step numbers in a row, the first half are one vector's, the others the next one's
    while len(vectors) > 1:
        first = [lane if lane // step % 2 == 0 else lane - step + LANES for lane in range(LANES)]
        second = [lane + step for lane in first]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [code.builder.fadd(code.shuffle(*pair, first), code.shuffle(*pair, second)) for pair in pairs]
        step *= 2
    return code.builder.fadd(*(code.shuffle(*vectors * 2, half) for half in ([*range(OUTPUTS)], [*range(OUTPUTS, LANES)])))


@instructions()
def strip_sum(context, builder, signature, arguments):
    """(vectors, strip, weights, count, y, begin, ahead): 16 numbers of the sum of vectors, each times its weight.

    There are `count` vectors, a multiple of 8; `strip` and `begin` are where it begins in the vectors and in y. Prefetches
    what is `ahead`.
    """
    code = Code(context, builder, signature, arguments)
    _, strip, _, count, _, begin, ahead = arguments
    numbers, weights = code.begin(0, strip), code.begin(2)

    def factors(some: range, t: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
        """Of vectors t + j, for these j: 16 numbers, and the weight."""
        at = builder.mul(t, number(LANES))
        rows = {j: code.offset(numbers, at, number(j * LANES)) for j in some}
        for row in rows.values():
            code.prefetch(code.offset(row, ahead))
        return [(code.load(row), code.broadcast(code.offset(weights, t, number(j)))) for j, row in rows.items()]

    sums, step = list[ir.Value](), sums_at_once(ACCUMULATORS)
    for first in range(0, ACCUMULATORS, step):
        sums += code.sums(count, ACCUMULATORS, step, partial(factors, range(first, first + step)))
    while len(sums) > 1:
        sums = [builder.fadd(one, other) for one, other in zip(sums[::2], sums[1::2], strict=True)]
    code.store(*sums, code.begin(4, begin))
    return context.get_dummy_value()


product_1, product_2, product_3, prefetching = tile_product(1), tile_product(2), tile_product(3), tile_product(1, prefetch=True)


@part(python=matmul_in_numpy.matmul)
def matmul(matrix, x, count, y, thread):
    """y[n] = matrix · x[n] for the first `count` rows of x (N, K) into y (N, J), both padded: this thread's share of outputs.

    `matrix` is in tiles; the padding of x must be zeros.
    """
    inputs, width = x.shape[1], y.shape[1]
    tile, steps = inputs * OUTPUTS, (inputs, width)
    tiles = matrix.size // tile
    for i in range(tiles * thread.rank // thread.threads, tiles * (thread.rank + 1) // thread.threads):
        if count == 1 and matrix.size > PREFETCHED:
            prefetching(matrix, x, y, (i * tile, 0, i * OUTPUTS), steps, AHEAD)
            continue
        for n in range(0, count - 2, 3):
            product_3(matrix, x, y, (i * tile, n * inputs, n * width + i * OUTPUTS), steps, 0)
        n = count - count % 3
        if count % 3 == 2:
            product_2(matrix, x, y, (i * tile, n * inputs, n * width + i * OUTPUTS), steps, 0)
        elif count % 3:
            product_1(matrix, x, y, (i * tile, n * inputs, n * width + i * OUTPUTS), steps, 0)


@part(small=True)
def tile_offset(output, input, inputs):
    """Where a number of a matrix stands in tiles, `inputs` (padded) wide."""
    within = input // LANES * OUTPUTS * LANES + output % OUTPUTS * LANES + input % LANES
    return output // OUTPUTS * inputs * OUTPUTS + within


@part(small=True)
def strip_offset(vector, d, vectors):
    """Where a number of a vector stands in strips of so many `vectors`."""
    return (d // LANES * vectors + vector) * LANES + d % LANES


@part(python=matmul_in_numpy.dot_keys)
def dot_keys(keys, q, seen, y):
    """y[t] = keys[t] · q (D,) for the first `seen` positions, up to a whole tile.

    `keys` is in tiles, padded with zeros: whatever stands behind q is multiplied by them. The same positions behind these
    keys, where another head's begin, are prefetched.
    """
    inputs = padded(q.size)
    for i in range(padded(seen, OUTPUTS) // OUTPUTS):
        prefetching(keys, q, y, (i * inputs * OUTPUTS, 0, i * OUTPUTS), (inputs, 0), keys.size)


@part(python=matmul_in_numpy.weighted_sum)
def weighted_sum(values, weights, seen, y):
    """y (D,), padded, = the sum of the first `seen` values (T, D), each times its weight.

    `values` is in strips, as long as `weights` (T,), padded; up to the next multiple of 8, weights are zeros.
    """
    strip = padded(weights.size) * LANES
    for i in range(y.size // LANES):
        strip_sum(values, i * strip, weights, padded(seen, ACCUMULATORS), y, i * LANES, strip)


def panel_product(vectors: int) -> Any:
    """A function for compiled code: the 16 outputs of a panel, for so many vectors.

    `begin` says where in panel, x and y it begins, `steps` how far it is from one input to the next in the panel, and from one
    vector to the next, in x and in y. `inputs` is how many there are.
    """

    @instructions()
    def product(context, builder, signature, arguments):
        """(panel, x, y, begin, steps, inputs): a panel, 16 rows of the matrix, times each vector."""
        code = Code(context, builder, signature, arguments)
        weights, first, outputs = map(code.begin, range(3), code.integers(3))
        (step, x_step, y_step), inputs = code.integers(4), arguments[5]
        xs = [code.offset(first, builder.mul(x_step, number(v))) for v in range(vectors)]

        def factors(k: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
            """Of input k: the panel's column of it, and the number of each vector."""
            row = code.load(code.offset(weights, builder.mul(k, step)))
            return [(row, code.broadcast(code.offset(x, k))) for x in xs]

        for v, sums in enumerate(code.sums(inputs, 1, vectors, factors)):
            code.store(sums, code.offset(outputs, builder.mul(y_step, number(v))))
        return context.get_dummy_value()

    return product


VECTORS = 12 if get_host_cpu_features().get("avx512f") else 6  # 12 registers of sums, whatever their size
panel_of_all, panel_of_two = panel_product(VECTORS), panel_product(2)


@part()
def panel_matmul(panels, x, count, y):
    """y[n] = matrix · x[n] for the first `count` rows of x (N, K) into y (N, J), both padded. `panels` is the matrix.

    The padding of x must be zeros. x and y have one row more than `count`, which may be written, too.
    """
    inputs, width = x.shape[1], y.shape[1]
    steps, panel, whole = (LANES, inputs, width), inputs * LANES, count - count % VECTORS
    for i in range(panels.size // panel):
        for n in range(0, whole, VECTORS):
            panel_of_all(panels, x, y, (i * panel, n * inputs, n * width + i * LANES), steps, inputs)
        for n in range(whole, count, 2):
            panel_of_two(panels, x, y, (i * panel, n * inputs, n * width + i * LANES), steps, inputs)
