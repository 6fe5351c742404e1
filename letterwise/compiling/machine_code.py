"""Machine code: what the compiler made of a function, called without numba.

    object code (bytes) ──LLVM's loader──▶ an address ──call──▶ result

It is called without Python's lock, and cannot be interrupted.
"""

import ctypes
import json
import pickle
import struct
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from letterwise.compiling.arguments import Kinds, packing

FORM = b"letterwise 1"
# status = function(room, room, words, room): one place for what it returns, for an error, and for results from word 1 on
Function: Any = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def packed(function: str, name: str, result: str, code: bytes) -> bytes:
    """An entry of the cache: object code of a function, its name there, and what it returns, as `struct` reads it."""
    return b"\n".join((FORM, json.dumps([function, name, result]).encode(), code))


class Raised(ctypes.Structure):
    """Where the room points to after an error: a pickle of its class, its arguments, and perhaps of (function, file, line).

    The compiler has put it into the code: so it is as trusted as that is.
    """

    _fields_ = [("pickle", ctypes.c_void_p), ("size", ctypes.c_int32)]


class MachineCode:
    """A function for arguments of one kind."""

    def __init__(self, entry: bytes, kinds: Kinds) -> None:
        """Raises `ValueError` for what is no entry."""
        form, facts, code = entry.split(b"\n", 2)
        if form != FORM:
            raise ValueError("no machine code")
        self.name, name, result = json.loads(facts)
        self.pack, self.results = struct.Struct(packing(kinds)).pack, struct.Struct(f"8x{result}")
        self.one = len(self.results.unpack(bytes(self.results.size))) == 1
        self.room = ctypes.c_int64 * (self.results.size // 8)
        self.engine = engine()
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self.engine.finalize_object()
        self.function = Function(self.engine.get_function_address(name))

    def __call__(self, words: list[float]) -> Any:
        """Run it. The arguments must be held meanwhile."""
        room = self.room()
        if status := self.function(room, room, self.pack(*words), room):
            raise self.error(room) if status > 0 else RuntimeError(f"{self.name} failed")
        results = self.results.unpack(room)
        return results[0] if self.one else results or None

    def error(self, room: Any) -> BaseException:
        """What was raised inside, as Python would have it, with a note that says where."""
        raised = ctypes.cast(room, ctypes.POINTER(ctypes.POINTER(Raised))).contents.contents
        kind, arguments, place = pickle.loads(ctypes.string_at(raised.pickle, raised.size))
        error = kind(*arguments)
        where = ", in {0}, line {2} of {1}".format(*place) if place else ""
        error.add_note(f"raised in compiled code, called by way of {self.name}{where}")
        return error


def engine() -> llvm.ExecutionEngine:
    """LLVM's loader, for one piece of code: in several, names may be equal."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine(jit=True)
    )


@cache
def processor() -> tuple[str, str, str]:
    """What code is made for, and cannot be expected to run elsewhere."""
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
