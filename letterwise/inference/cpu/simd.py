"""SIMD: LLVM's instructions for 16 numbers at a time, for functions that numba compiles (matmul.py).

A compiler makes them of plain loops by itself, but not where several vectors are summed side by side. Lane by lane they give
the same bits, whatever the width of a processor's registers.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

LANES = 16
FLOATS = ir.VectorType(ir.FloatType(), LANES)
ZEROS = ir.Constant(FLOATS, [0.0] * LANES)
LONG, SHORT, BYTES = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
READ, L2, DATA = (ir.Constant(SHORT, value) for value in (0, 2, 1))


def number(value: int, kind: ir.Type = LONG) -> ir.Constant:
    """A number in the code."""
    return ir.Constant(kind, value)


def declared(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Value:
    """A function of LLVM's or the system's."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


class Code:
    """The code of a function that is being compiled, whose arrays are float32 in one run."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments
        self.llvm_fma = declared(builder, f"llvm.fma.v{LANES}f32", FLOATS, [FLOATS] * 3)
        self.llvm_prefetch = declared(builder, "llvm.prefetch.p0i8", ir.VoidType(), [BYTES, SHORT, SHORT, SHORT])

    def begin(self, which: int, *offsets: ir.Value) -> ir.Value:
        """Where an argument's numbers begin, or a place in them."""
        begin = self.context.make_array(self.signature.args[which])(self.context, self.builder, self.arguments[which]).data
        return self.offset(begin, *offsets)

    def integers(self, which: int) -> list[ir.Value]:
        """Those of an argument that is a tuple of them."""
        tuple = self.arguments[which]
        return [self.builder.extract_value(tuple, n) for n in range(len(tuple.type))]

    def offset(self, begin: ir.Value, *offsets: ir.Value) -> ir.Value:
        """So many numbers further."""
        for offset in offsets:
            begin = self.builder.gep(begin, [offset])
        return begin

    def load(self, place: ir.Value) -> ir.Value:
        """16 numbers."""
        return self.builder.load(self.builder.bitcast(place, FLOATS.as_pointer()), align=4)

    def broadcast(self, place: ir.Value) -> ir.Value:
        """One number, 16 times."""
        first = self.builder.insert_element(ZEROS, self.builder.load(place, align=4), number(0, SHORT))
        return self.shuffle(first, first, [0] * LANES)

    def store(self, vector: Any, place: ir.Value) -> None:
        """All its numbers."""
        self.builder.store(vector, self.builder.bitcast(place, vector.type.as_pointer()), align=4)

    def shuffle(self, one: ir.Value, other: ir.Value, lanes: list[int]) -> ir.Value:
        """These numbers of two vectors, numbered through."""
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(SHORT, len(lanes)), lanes))

    def prefetch(self, place: ir.Value) -> None:
        """Fetch the line of the cache that is there."""
        self.builder.call(self.llvm_prefetch, [self.builder.bitcast(place, BYTES), READ, L2, DATA])

    def sums(
        self, count: ir.Value, step: int, n: int, factors: Callable[[ir.Value], list[tuple[ir.Value, ir.Value]]]
    ) -> list[ir.Value]:
        """So many vectors `n`, each the sum of products, whose two `factors` are given for 0, step, 2·step … < count."""
        builder = self.builder
        before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k, held = builder.phi(LONG), [builder.phi(FLOATS) for _ in range(n)]
        grown = [builder.call(self.llvm_fma, [*pair, sum]) for pair, sum in zip(factors(k), held, strict=True)]
        following = builder.add(k, number(step))
        for phi, first, next in [(k, number(0), following), *((h, ZEROS, g) for h, g in zip(held, grown, strict=True))]:
            phi.add_incoming(first, before)
            phi.add_incoming(next, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        return grown
