"""LLVM: from a module's text to callable addresses, through the object cache.

Kernels are emitted as explicit vectors, so no optimisation pass has to find any: the text goes
straight to LLVM's code generator. For a kernel of exp, tanh, erf and log that takes 8 ms; the -O2
passes before it would take 8 ms more and return the same loop.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from backlit.native.machine.objectcache import ObjectCache, default_directory
from backlit.native.machine.once import once

_OPTIMISATION = 2


@dataclass(frozen=True)
class Host:
    """The CPU that code is generated for."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int  # of the widest registers
    registers: int  # how many of them
    scale_instruction: bool  # see vector.Lanes

    def width(self, dtype: str) -> int:
        """Lanes of a full register."""
        return self.vector_bytes // (4 if dtype == "float32" else 8)


@functools.cache
def host() -> Host:
    """The CPU of this process."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq"):
        vector_bytes, registers, scales = 64, 32, True
    elif features.get("avx2"):
        vector_bytes, registers, scales = 32, 16, False
    else:  # SSE, NEON
        vector_bytes, registers, scales = 16, 16, False
    return Host(
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        features.flatten(),
        vector_bytes,
        registers,
        scales,
    )


class Library:
    """Loaded machine code; its addresses are valid while it is referenced.

    Attributes:
        origin: "compiled", or "disk" if it came from the object cache.
        seconds: how long building or loading took.
        exports: the names of its functions.
    """

    def __init__(
        self,
        tracker: Any,
        key: str,
        origin: str,
        seconds: float,
        exports: tuple[str, ...] = (),
        source: str | Callable[[], str] = "",
    ) -> None:
        self._tracker = tracker
        self.key = key
        self.origin = origin
        self.seconds = seconds
        self.exports = exports
        self._source = source

    @property
    def text(self) -> str:
        """The module's LLVM IR, generated anew where only machine code was kept."""
        return self._source if isinstance(self._source, str) else self._source()

    def address(self, name: str) -> int:
        """Where the exported function `name` starts."""
        return int(self._tracker[name])

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """The exported function as a ctypes callable that keeps the code alive."""
        pointer = ctypes.CFUNCTYPE(result, *arguments)(self.address(name))
        pointer.library = self  # type: ignore[attr-defined]  # any attribute may be set on it
        return pointer


class Engine:
    """One LLVM, its target and its loaded libraries.

    Args:
        cache: where objects are kept between processes; None for nowhere.
    """

    def __init__(self, cache: ObjectCache | None) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.cache = cache
        self._lock = threading.RLock()
        self._machine = self._target_machine()
        self._jit = llvm.create_lljit_compiler(self._target_machine())
        self._names = itertools.count()
        self._loaded: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()
        if hasattr(os, "register_at_fork"):  # a child must not inherit the lock while it is held
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def _target_machine(self) -> Any:
        target = llvm.Target.from_triple(host().triple)
        return target.create_target_machine(
            cpu=host().cpu,
            features=host().features,
            opt=_OPTIMISATION,
            reloc="pic",
            codemodel="small",  # constants relative to the instruction pointer
        )

    def load(
        self,
        source: str | Callable[[], str],
        exports: Sequence[str],
        *,
        identity: str | None = None,
        imports: Mapping[str, int] | None = None,
    ) -> Library:
        """The library of a module, from memory, disk or the compiler, whichever has it.

        Args:
            source: LLVM IR as text, or a function that returns it.
            exports: names of functions whose addresses are wanted.
            identity: names the kernel completely, so that `source` need not be called to look it
                up; the sources of this folder are part of the key.
            imports: addresses of symbols that the module declares.
        """
        if identity is None:
            text = source if isinstance(source, str) else source()
            key = _key("ir", text)
        else:
            text = None
            key = _key("identity", _generator_digest(), identity)
        memory_key = f"{key} {sorted((imports or {}).items())}"
        with self._lock:
            library = self._loaded.get(memory_key)
            if library is None:
                library = self._build(key, text, source, exports, imports or {})
                self._loaded[memory_key] = library
        return library

    def _build(
        self,
        key: str,
        text: str | None,
        source: str | Callable[[], str],
        exports: Sequence[str],
        imports: Mapping[str, int],
    ) -> Library:
        start = time.perf_counter()
        code = self.cache.load(key) if self.cache else None
        origin = "disk"
        if code is None:
            origin = "compiled"
            if text is None:
                text = source if isinstance(source, str) else source()
            code = self.compile(text)
            if self.cache:
                self.cache.store(key, code)
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name, address in imports.items():
            builder.import_symbol(name, address)
        for name in exports:
            builder.export_symbol(name)
        tracker = builder.link(self._jit, f"backlit{next(self._names)}")
        seconds = time.perf_counter() - start
        built[origin] += 1
        return Library(tracker, key, origin, seconds, tuple(exports), source)

    def find(self, address: int) -> tuple[Library, str] | None:
        """The loaded function that starts at ``address``: its library and its name."""
        with self._lock:
            for library in self._loaded.values():
                for name in library.exports:
                    if library.address(name) == address:
                        return library, name
        return None

    def compile(self, text: str) -> bytes:
        """Object code of a module. LLVM verifies it first."""
        with self._lock:
            module = llvm.parse_assembly(text)
            module.verify()
            return bytes(self._machine.emit_object(module))

    def assembly(self, text: str) -> str:
        """What the code generator makes of a module, to read."""
        with self._lock:
            module = llvm.parse_assembly(text)
            module.verify()
            return str(self._machine.emit_assembly(module))


built: Counter[str] = Counter()
"""How many libraries this process compiled, and how many came from the disk."""


@once
def engine() -> Engine:
    """The engine of this process, created when first asked for."""
    return Engine(ObjectCache(default_directory()))


@functools.cache
def _generator_digest() -> str:
    """Changes whenever a source file of `native` does."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _key(*parts: str) -> str:
    """The cache key of a kernel on this CPU with this compiler."""
    version = ".".join(str(v) for v in llvm.llvm_version_info)
    target = (host().triple, host().cpu, host().features, str(_OPTIMISATION))
    text = "\0".join((llvmlite.__version__, version, *target, *parts))
    return hashlib.sha256(text.encode()).hexdigest()
