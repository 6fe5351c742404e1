"""Compiler: machine code of a function and its parts, by numba. Loaded where something is to be compiled, and not before.

    function, kinds of its arguments ──numba──▶ LLVM's code of it and all parts ──one optimization──▶ object code, in bytes

What is called from outside takes the addresses of its arguments' words (arguments.py) and of room for results. Nothing of
numba's or Python's is called from inside: so whoever has the bytes needs neither to run them.
"""

import ctypes
from collections.abc import Iterator
from itertools import accumulate, count
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import typeof_impl
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from letterwise.compiling.arguments import ArrayKind, Kind, Kinds, TupleKind
from letterwise.compiling.called import Called, Instructions, instructions
from letterwise.compiling.machine_code import packed

Dispatcher: Any = CPUDispatcher  # for whoever checks types: not all that is inherited can be replaced
Template: Any = AbstractTemplate
TYPING, TARGET = cpu_target.typing_context, cpu_target.target_context
OPTIONS = {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
SYSTEM = ctypes.CDLL(None)
WORD = ir.IntType(64)
# NumPy's record of an array, behind what each object of Python's begins with: data, dimensions, shape, strides
RECORD = ir.LiteralStructType([WORD, ir.IntType(32), WORD.as_pointer(), WORD.as_pointer()])


def compiled(function: FunctionType, options: dict[str, Any], kinds: Kinds) -> bytes:
    """The entry of a function for arguments of these kinds, for `MachineCode`. Raises numba's errors."""
    given, words = types.Tuple(tuple(map(type_of, kinds))), types.CPointer(types.int64)
    part, arguments, put = PartDispatcher(function, options), instructions(lambda words: given)(unpack), instructions()(store)

    def outside(words, room):
        put(part(*arguments(words)), room)

    for context in (TYPING, TARGET):
        context.refresh()
    whole = PartDispatcher(outside, {})
    whole.compile((words, words))
    result, (inside,) = whole.overloads[words, words], part.overloads.values()
    library, codegen = result.library, TARGET.codegen()
    library.finalize()
    library._final_module.get_function(inside.fndesc.llvm_func_name).add_function_attribute("noinline")  # else it is slower
    library._optimize_final_module()
    library._final_module.verify()
    unknown = [each.name for each in library._final_module.functions if is_unknown(each)]
    if unknown:
        raise TypeError(f"{function.__name__} calls {', '.join(unknown)}, which nothing but numba has")
    code = codegen._tm.emit_object(library._final_module)
    return packed(function.__name__, result.fndesc.llvm_func_name, result_of(inside.signature.return_type), code)


def is_unknown(function: llvm.ValueRef) -> bool:
    """Is it one that is neither here, nor LLVM's own, nor the system's?"""
    return function.is_declaration and not function.name.startswith("llvm.") and not hasattr(SYSTEM, function.name)


def type_of(kind: Kind) -> Any:
    """Numba's type for a kind of arguments."""
    if isinstance(kind, ArrayKind):
        order = "C" if kind.in_one_run else "A"
        return types.Array(from_dtype(kind.dtype), kind.ndim, order, aligned=kind.in_one_run)
    if isinstance(kind, TupleKind):
        return types.BaseTuple.from_types(tuple(map(type_of, kind.kinds)), kind.type)
    return from_dtype(np.dtype(kind))


def result_of(type: Any) -> str:
    """How `struct` reads a result of this type."""
    if isinstance(type, types.BaseTuple):
        return "".join(map(result_of, type))
    if type == types.none:
        return ""
    return "d" if isinstance(type, types.Float) else "?7x" if type == types.boolean else "q"


def unpack(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    """Code for the arguments from their words."""
    places = (builder.gep(arguments[0], [ir.Constant(WORD, n)]) for n in count())
    return value_of(context, builder, signature.return_type, map(builder.load, places))


def value_of(context: Any, builder: ir.IRBuilder, type: Any, words: Iterator[ir.Value]) -> ir.Value:
    """Code for a value of this type."""
    if isinstance(type, types.BaseTuple):
        return context.make_tuple(builder, type, [value_of(context, builder, each, words) for each in type])
    word = next(words)
    if isinstance(type, types.Array):
        record = builder.inttoptr(builder.add(word, WORD(object.__basicsize__)), RECORD.as_pointer())
        data, shape, strides = (builder.load(builder.gep(record, [WORD(0), ir.IntType(32)(n)])) for n in (0, 2, 3))
        sizes = [[builder.load(builder.gep(each, [WORD(n)])) for n in range(type.ndim)] for each in (shape, strides)]
        return array_of(context, builder, type, builder.inttoptr(data, context.get_data_type(type.dtype).as_pointer()), *sizes)
    if isinstance(type, types.Float):
        return context.cast(builder, builder.bitcast(word, ir.DoubleType()), types.float64, type)
    return context.cast(builder, word, types.int64, type)


def array_of(
    context: Any, builder: ir.IRBuilder, type: Any, data: ir.Value, shape: list[ir.Value], strides: list[ir.Value] | None = None
) -> ir.Value:
    """Code for an array; without strides, for one in one run."""
    array, item = context.make_array(type)(context, builder), context.get_abi_sizeof(context.get_data_type(type.dtype))
    strides = strides or [*accumulate(shape[:0:-1], builder.mul, initial=WORD(item))][::-1]
    populate_array(array, data, shape, strides, item, meminfo=None)
    return array._getvalue()


def store(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    """Code that puts a result, a number or a tuple of some, behind the first word of the room."""
    result, room = arguments
    type = signature.args[0]
    numbers = (
        [(builder.extract_value(result, n), each) for n, each in enumerate(type)]
        if isinstance(type, types.BaseTuple)
        else [(result, type)]
    )
    for n, (number, of) in enumerate(numbers if type != types.none else (), 1):
        word = types.float64 if isinstance(of, types.Float) else types.int64
        place = builder.bitcast(builder.gep(room, [WORD(n)]), context.get_value_type(word).as_pointer())
        builder.store(context.cast(builder, number, of, word), place)
    return context.get_dummy_value()


@typeof_impl.register(Called)
def type_of_called(called: Called, context: Any) -> Any:
    """Within functions that are compiled, one they call is what numba compiles."""
    called.compiler = called.compiler or PartDispatcher(called.function, called.options)
    return types.Dispatcher(called.compiler)


@typeof_impl.register(Instructions)
def type_of_instructions(own: Instructions, context: Any) -> Any:
    """And these a function whose code is known."""
    if own.compiler is None:

        class Typed(Template):
            key = own

            def generic(self, arguments: Any, names: Any) -> Any:
                given = tuple(map(types.unliteral, arguments))
                result = own.result(*given) if callable(own.result) else getattr(types, own.result)
                return signature(result, *given)

        own.compiler = types.Function(Typed)
        TARGET.insert_func_defn([(own.code, own, (types.VarArg(types.Any),))])
    return own.compiler


class PartDispatcher(Dispatcher):
    """What numba compiles when another function calls it."""

    def __init__(self, function: FunctionType, options: dict[str, Any]) -> None:
        super().__init__(function, targetoptions=OPTIONS | options, pipeline_class=PartCompiler)

    def add_overload(self, result: Any) -> None:
        """Note the result: for callers in compiled code, not for Python's."""
        self.overloads[tuple(result.signature.args)] = result


class PartCompiler(Compiler):
    """As far as LLVM's code of the function itself."""

    def __init__(self, typing_context: Any, target_context: Any, library: Any, args: Any, returns: Any, flags: Any, known: Any):
        flags.no_compile = True
        library = Unfinished(target_context.codegen(), "part")
        super().__init__(typing_context, target_context, library, args, returns, flags, known)

    def compile_extra(self, func: FunctionType) -> Any:
        """The result, by which callers find the code: numba's key for that is what Python would call."""
        result = super().compile_extra(func)._replace(entry_point=object())
        self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        return result


class Unfinished(JITCodeLibrary):
    """A function's code, with that of all it calls: to be optimized in the caller's."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Not yet."""
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        """Link what it calls into it."""
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True
