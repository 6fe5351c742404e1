"""Products: a matrix times some vectors, in explicit vectors of 16 numbers, compiled by numba.

    x (R, K) ──matrix (J, K), in tiles──▶ y (R, J)

A tile is 8 outputs by 16 inputs, and tiles lie in the order in which they are read, so that a matrix goes by once, as one run
of memory. Eight outputs of one or two vectors are summed at a time, 16 partial sums each, which a compiler does not make of a
loop by itself. The order of a sum depends on nothing but its length: a vector's products are the same bits in any company, with
any number of threads, and on processors with narrower registers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

OUTPUTS, LANES = 8, 16  # a tile
FAR, AHEAD = 2**18, 256  # a matrix of more numbers comes from far away: these many numbers ahead are sent for
compiled: Any = intrinsic  # for whoever checks types: it is called with what was compiled in place
FLOATS = ir.VectorType(ir.FloatType(), LANES)
LONG, SHORT, BYTES = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
TO_READ, INTO_SECOND_CACHE, DATA = (ir.Constant(SHORT, value) for value in (0, 2, 1))


def in_tiles(matrix: np.ndarray) -> np.ndarray:
    """A matrix (J, K) as one run of tiles, float32; zeros where it ends within one."""
    outputs, inputs = matrix.shape
    whole = np.zeros((padded(outputs, OUTPUTS), padded(inputs)), np.float32)
    whole[:outputs, :inputs] = matrix
    return whole.reshape(len(whole) // OUTPUTS, OUTPUTS, -1, LANES).transpose(0, 2, 1, 3).reshape(-1)


@njit(nogil=True, cache=True)
def padded(size, step=LANES):
    """`size`, up to the next multiple of `step`."""
    return (size + step - 1) // step * step


def tile_product(vectors: int, ahead: int = 0) -> Any:
    """A function for compiled code: eight outputs of so many vectors. It sends for what is so far `ahead` in the matrix.

    (matrix, its place, x, its place, y, its place, numbers of a vector of x, and from one vector to the next in y)
    """

    @compiled
    def product(typing_context, matrix, tile, x, x_place, y, y_place, x_step, y_step):
        signature = types.void(matrix, types.int64, x, types.int64, y, types.int64, types.int64, types.int64)

        def generate(context, builder, signature, arguments):
            def data(which: int) -> ir.Value:
                return context.make_array(signature.args[which])(context, builder, arguments[which]).data

            def load(begin: ir.Value, *offsets: ir.Value) -> ir.Value:
                place = builder.gep(begin, [offsets[0]] if len(offsets) == 1 else [builder.add(*offsets)])
                return builder.load(builder.bitcast(place, FLOATS.as_pointer()), align=4)

            def constant(value: int) -> ir.Value:
                return ir.Constant(LONG, value)

            weights, inputs, outputs = data(0), data(2), data(4)
            _, tile, _, x_place, _, y_place, x_step, y_step = arguments
            xs = [builder.gep(inputs, [builder.add(x_place, builder.mul(x_step, constant(v)))]) for v in range(vectors)]
            fused = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(FLOATS, [FLOATS] * 3), f"llvm.fma.v{LANES}f32"
            )
            fetch = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [BYTES, SHORT, SHORT, SHORT]), "llvm.prefetch.p0i8"
            )
            before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(LONG)
            k.add_incoming(constant(0), before)
            sums = [[builder.phi(FLOATS) for _ in range(vectors)] for _ in range(OUTPUTS)]
            at, grown = builder.add(tile, builder.mul(k, constant(OUTPUTS))), []
            mine = [load(begin, k) for begin in xs]
            for j in range(OUTPUTS if ahead else 0):
                place = builder.gep(weights, [builder.add(at, constant(ahead + j * LANES))])
                builder.call(fetch, [builder.bitcast(place, BYTES), TO_READ, INTO_SECOND_CACHE, DATA])
            for j in range(OUTPUTS):
                row = load(weights, at, constant(j * LANES))
                grown.append([builder.call(fused, [row, mine[v], sums[j][v]]) for v in range(vectors)])
            following = builder.add(k, constant(LANES))
            k.add_incoming(following, loop)
            for j in range(OUTPUTS):
                for v in range(vectors):
                    sums[j][v].add_incoming(ir.Constant(FLOATS, [0.0] * LANES), before)
                    sums[j][v].add_incoming(grown[j][v], loop)
            builder.cbranch(builder.icmp_signed("<", following, x_step), loop, done)
            builder.position_at_end(done)
            for v in range(vectors):
                line = builder.add(y_place, builder.mul(y_step, constant(v)))
                for j in range(OUTPUTS):
                    place = builder.gep(outputs, [builder.add(line, constant(j))])
                    builder.store(_sum(builder, grown[j][v]), place)
            return context.get_dummy_value()

        return signature, generate

    return product


def _sum(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """The sum of a vector's numbers: halves onto each other, until one is left."""
    size = LANES
    while size > 1:
        size //= 2
        halves = (ir.Constant(ir.VectorType(SHORT, size), list(range(at, at + size))) for at in (0, size))
        vector = builder.fadd(*(builder.shuffle_vector(vector, vector, half) for half in halves))
    return builder.extract_element(vector, ir.Constant(SHORT, 0))


@compiled
def unowned(typing_context, array):
    """The same array, without the count of who holds it: for code whose caller does. Counting costs more than slicing."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(array)(context, builder, arguments[0])
        view.meminfo, view.parent = (ir.Constant(part.type, None) for part in (view.meminfo, view.parent))
        return view._getvalue()

    return array(array), generate


of_one, of_one_far, of_two = tile_product(1), tile_product(1, AHEAD), tile_product(2)


@njit(nogil=True, cache=True)
def times(matrix, inputs, x, count, y, outputs):
    """y (J,) = matrix · x (K,), for the first `outputs` of J and the first `count` of K, both up to whole tiles.

    `matrix` is a run of tiles, `inputs` (K, padded) wide. What is behind x's numbers, or in the matrix, must be zeros.
    """
    for i in range(padded(outputs, OUTPUTS) // OUTPUTS):
        of_one(matrix, i * inputs * OUTPUTS, x, 0, y, i * OUTPUTS, padded(count), 0)


@njit(nogil=True, cache=True)
def tile_place(output, input, inputs):
    """Where a number of a matrix lies in its run of tiles, `inputs` (padded) wide."""
    within = input // LANES * OUTPUTS * LANES + output % OUTPUTS * LANES + input % LANES
    return output // OUTPUTS * inputs * OUTPUTS + within


@njit(nogil=True, cache=True)
def project(matrix, x, count, y, thread, threads):
    """y[r] = matrix · x[r] for the first `count` rows of x (R, K) into y (R, J), both padded: this thread's share of outputs.

    `matrix` is a run of tiles; what is behind x's numbers must be zeros.
    """
    inputs, width = x.shape[1], y.shape[1]
    tile = inputs * OUTPUTS
    tiles = matrix.size // tile
    for i in range(tiles * thread // threads, tiles * (thread + 1) // threads):
        for r in range(0, count - 1, 2):
            of_two(matrix, i * tile, x, r * inputs, y, r * width + i * OUTPUTS, inputs, width)
        if count == 1 and matrix.size > FAR:
            of_one_far(matrix, i * tile, x, 0, y, i * OUTPUTS, inputs, width)
        elif count % 2:
            of_one(matrix, i * tile, x, (count - 1) * inputs, y, (count - 1) * width + i * OUTPUTS, inputs, width)
