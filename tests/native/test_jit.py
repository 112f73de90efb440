"""The engine: compiling, caching on disk, loading, and the errors of bad modules."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from backlit.native.machine import jit
from backlit.native.machine.objectcache import ObjectCache

SQUARE = """
define i64 @square(i64 %x) {
  %y = mul i64 %x, %x
  ret i64 %y
}
"""


@pytest.fixture
def engine(tmp_path: Path) -> jit.Engine:
    return jit.Engine(ObjectCache(tmp_path / "kernels"))


def call_square(library: jit.Library, x: int) -> int:
    return int(library.function("square", ctypes.c_int64, ctypes.c_int64)(x))


def test_compiled_then_from_memory_then_from_disk(engine: jit.Engine) -> None:
    """A kernel is compiled once; later loads share it, and a new engine reads it from disk."""
    first = engine.load(SQUARE, ["square"])
    assert (first.origin, call_square(first, 7)) == ("compiled", 49)
    assert engine.load(SQUARE, ["square"]) is first
    other = jit.Engine(engine.cache).load(SQUARE, ["square"])
    assert (other.origin, call_square(other, 9)) == ("disk", 81)


def test_a_broken_entry_is_rebuilt(engine: jit.Engine, tmp_path: Path) -> None:
    """An entry with a flipped byte is compiled again, silently, and stored whole."""
    engine.load(SQUARE, ["square"])
    (path,) = (tmp_path / "kernels").glob("*.obj")
    good = path.read_bytes()
    path.write_bytes(good[:100] + bytes([good[100] ^ 255]) + good[101:])
    again = jit.Engine(engine.cache).load(SQUARE, ["square"])
    assert (again.origin, call_square(again, 5)) == ("compiled", 25)
    assert path.read_bytes() == good


def test_identity_saves_building_the_text(engine: jit.Engine) -> None:
    """With an identity, the function that makes the text is not called for a known kernel."""
    built: list[str] = []

    def source() -> str:
        built.append("once")
        return SQUARE

    engine.load(source, ["square"], identity="square")
    library = jit.Engine(engine.cache).load(source, ["square"], identity="square")
    assert built == ["once"]
    assert call_square(library, 3) == 9


def test_imported_symbols_are_called(engine: jit.Engine) -> None:
    """A module calls a declared function at the address that is given for it."""
    callee = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: x + 1)
    address = ctypes.cast(callee, ctypes.c_void_p).value
    assert address is not None
    text = """
    declare i64 @elsewhere(i64)
    define i64 @twice(i64 %x) {
      %y = call i64 @elsewhere(i64 %x)
      %z = call i64 @elsewhere(i64 %y)
      ret i64 %z
    }
    """
    library = engine.load(text, ["twice"], imports={"elsewhere": address})
    assert library.function("twice", ctypes.c_int64, ctypes.c_int64)(5) == 7


def test_an_invalid_module_is_an_error(engine: jit.Engine) -> None:
    """Text that LLVM rejects raises with LLVM's message and is not cached."""
    with pytest.raises(RuntimeError, match="expected"):
        engine.load("define nonsense", ["f"])
    with pytest.raises(RuntimeError, match="expected"):
        engine.load("define nonsense", ["f"])


def test_code_lives_as_long_as_its_function(engine: jit.Engine) -> None:
    """A ctypes function keeps its library loaded."""
    function = engine.load(SQUARE, ["square"]).function("square", ctypes.c_int64, ctypes.c_int64)
    assert function(6) == 36


def test_assembly_can_be_read(engine: jit.Engine) -> None:
    """The assembly of a module names its function."""
    assert "square:" in engine.assembly(SQUARE)


def test_importing_the_package_loads_no_llvm() -> None:
    """`import backlit.native` leaves llvmlite and NumPy's users unloaded."""
    code = "import sys, backlit.native; print('llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_functions_are_found_by_address() -> None:
    """A loaded function is known by where it starts; its IR can be had though code was cached."""
    text = "define i64 @three() {\n  ret i64 3\n}\n"
    calls: list[int] = []

    def source() -> str:
        calls.append(1)
        return text

    library = jit.engine().load(source, ["three"], identity="test of find")
    found = jit.engine().find(library.address("three"))
    assert found == (library, "three")
    assert jit.engine().find(1) is None
    again = jit.engine().load(source, ["three"], identity="test of find")
    assert again.text == text
    assert again.exports == ("three",)


def test_libraries_are_counted() -> None:
    """How many were compiled, and how many came from the disk."""
    before = dict(jit.built)
    text = "define i64 @four() {\n  ret i64 4\n}\n"
    library = jit.engine().load(text, ["four"])
    assert jit.built[library.origin] == before.get(library.origin, 0) + 1
