"""Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

from typing import Any

import pytest

import backlit
from backlit import nn


def identities(n: int) -> list[nn.Identity]:
    return [nn.Identity() for _ in range(n)]


def names(m: nn.Module) -> list[str]:
    return [name for name, _ in m.named_children()]


def test_sequential_calls_in_order() -> None:
    """Each module gets the result of the one before."""
    m = nn.Sequential(nn.ReLU(), nn.Sigmoid())
    assert m(backlit.tensor(-3.0)).item() == 0.5


def test_sequential_of_named_modules() -> None:
    """A dictionary gives names, which a slice keeps."""
    m = nn.Sequential({"a": nn.Identity(), "b": nn.ReLU(), "c": nn.Tanh()})
    assert names(m) == ["a", "b", "c"]
    assert names(m[1:]) == ["b", "c"]
    assert m.b is m[1]
    assert names(m.append(nn.Tanh())) == ["a", "b", "c", "3"]
    del m[0]
    assert names(m) == ["b", "c", "3"]


@pytest.mark.parametrize("kind", [nn.Sequential, lambda *modules: nn.ModuleList(modules)])
def test_list_behaviour(kind: Any) -> None:
    """Indexing, slicing, replacing, deleting, inserting: numbers are always 0, 1, 2 …"""
    a, b, c, d = identities(4)
    m = kind(a, b, c)
    assert len(m) == 3
    assert list(m) == [a, b, c]
    assert m[-1] is c
    assert list(m[::2]) == [a, c]
    m[1] = d
    assert list(m) == [a, d, c]
    del m[0]
    assert list(m) == [d, c]
    assert names(m) == ["0", "1"]
    m.insert(1, a)
    assert list(m) == [d, a, c]
    assert m.pop(-1) is c
    m += [b]
    assert list(m) == [d, a, b]
    assert names(m) == ["0", "1", "2"]
    assert list(m + [c]) == [d, a, b, c]
    assert len(m) == 3
    del m[1:]
    assert list(m) == [d]
    m.extend([a, b])
    m.insert(-1, c)
    assert list(m) == [d, a, c, b]


def test_a_list_extended_by_itself_doubles() -> None:
    """As Python's lists do."""
    a, b = identities(2)
    m = nn.ModuleList([a, b])
    m.extend(m)
    assert list(m) == [a, b, a, b]


def test_sequential_times_a_number_repeats() -> None:
    """From either side; zero times is refused."""
    a = nn.Identity()
    assert list(nn.Sequential(a) * 3) == [a, a, a]
    assert list(2 * nn.Sequential(a)) == [a, a]
    with pytest.raises(ValueError) as error:
        nn.Sequential(a) * 0
    assert str(error.value) == (f"Non-positive multiplication factor 0 for {nn.Sequential}")
    with pytest.raises(TypeError) as kind:
        nn.Sequential(a) * 1.5  # type: ignore[operator]
    assert str(kind.value) == (
        f"unsupported operand type(s) for *: {nn.Sequential} and {float}; give an int"
    )


def test_positions_outside() -> None:
    """IndexError, as for lists."""
    m = nn.ModuleList(identities(2))
    with pytest.raises(IndexError, match=r"^index 2 is out of range$"):
        m[2]
    with pytest.raises(IndexError, match=r"^Index out of range: 5$"):
        m.insert(5, nn.Identity())
    with pytest.raises(AssertionError, match="module should be of type: "):
        m.insert(0, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError) as error:
        m.extend(3)  # type: ignore[arg-type]
    assert str(error.value) == "ModuleList.extend should be called with an iterable, but got int"


def test_module_list_has_no_forward() -> None:
    """It only holds modules."""
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.ModuleList()(1)


def test_module_list_text_counts_equal_neighbours() -> None:
    """Runs of equal modules take one line."""
    m = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Linear(1, 2), nn.ReLU()])
    assert repr(m) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n"
        "  (2): Linear(in_features=1, out_features=2, bias=True)\n  (3): ReLU()\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict() -> None:
    """A dictionary, in order of insertion."""
    a, b, c = identities(3)
    m = nn.ModuleDict({"a": a})
    m["b"] = b
    m.update([("c", c)])
    assert list(m) == list(m.keys()) == ["a", "b", "c"]
    assert list(m.values()) == [a, b, c]
    assert list(m.items())[1] == ("b", b)
    assert "b" in m
    assert m.pop("b") is b
    assert "b" not in m
    assert len(m) == 2
    del m["a"]
    assert names(m) == ["c"]
    assert list(nn.ModuleDict(m)) == ["c"]
    m.clear()
    assert len(m) == 0
    with pytest.raises(KeyError):
        m["a"]


def test_what_module_dict_refuses() -> None:
    """Updates that are not pairs of name and module."""
    with pytest.raises(TypeError) as error:
        nn.ModuleDict(3)
    assert str(error.value) == (
        "ModuleDict.update should be called with an iterable of key/value pairs, but got int"
    )
    with pytest.raises(ValueError) as pair:
        nn.ModuleDict([("a", nn.Identity(), 1)])
    assert str(pair.value) == (
        "ModuleDict update sequence element #0 is ('a', Identity(), 1); 2 is required: a name and "
        "a module"
    )


# -- parameters ------------------------------------------------------------------------------


def test_parameter_list() -> None:
    """Tensors become parameters; other objects stay; numbers are names."""
    m = nn.ParameterList([backlit.zeros(2)])
    m.append(nn.Parameter(backlit.ones(3))).append("text")
    m += [backlit.ones(1)]
    assert [name for name, _ in m.named_parameters()] == ["0", "1", "3"]
    assert isinstance(m[0], nn.Parameter)
    assert m[2] == "text"
    assert len(m) == 4
    m[0] = backlit.ones(5)
    assert tuple(m[0].shape) == (5,)
    assert m.pop().shape[0] == 1
    assert len(m[:2]) == 2
    assert [tuple(p.shape) for p in list(m)[:2]] == [(5,), (3,)]
    assert repr(m) == (
        "ParameterList(\n    (0): Parameter containing: [backlit.float32 of size 5]\n"
        "    (1): Parameter containing: [backlit.float32 of size 3]\n"
        "    (2): Object of type: str\n)"
    )


def test_what_parameter_list_refuses() -> None:
    """Positions outside, extension by one tensor, calls."""
    m = nn.ParameterList()
    with pytest.raises(IndexError, match=r"^index 0 is out of range$"):
        m[0]
    with pytest.raises(TypeError) as error:
        m.extend(backlit.ones(2))
    assert (
        str(error.value) == "ParameterList.extend should be called with an iterable, but got Tensor"
    )
    with pytest.raises(RuntimeError, match=r"^ParameterList should not be called\.$"):
        m()


def test_parameter_dict() -> None:
    """A dictionary of parameters."""
    m = nn.ParameterDict({"a": backlit.zeros(2)})
    m["b"] = backlit.ones(1)
    m.update([("c", backlit.ones(3))])
    assert list(m) == list(m.keys()) == ["a", "b", "c"]
    assert [name for name, _ in m.named_parameters()] == ["a", "b", "c"]
    assert list(reversed(m)) == ["c", "b", "a"]
    assert m.get("z", 4) == 4
    assert m.setdefault("a") is m["a"]
    assert tuple(m.setdefault("d", backlit.ones(7)).shape) == (7,)
    assert m.popitem()[0] == "d"
    assert m.pop("b").item() == 1.0
    assert [key for key, _ in m.items()] == ["a", "c"]
    assert len(m.values()) == 2  # type: ignore[arg-type]
    other = m.copy()
    assert other["a"] is m["a"]
    assert list(m | {"e": backlit.ones(1)}) == ["a", "c", "e"]
    m |= {"f": backlit.ones(1)}
    assert "f" in m
    assert list(m.fromkeys(["x", "y"], backlit.ones(1))) == ["x", "y"]
    other.clear()
    assert len(other) == 0
    assert "(a): Parameter containing: [backlit.float32 of size 2]" in repr(m)


def test_what_parameter_dict_refuses() -> None:
    """Names that are not strings or are taken, updates that are not pairs, calls."""
    m = nn.ParameterDict()
    with pytest.raises(TypeError) as error:
        m[3] = backlit.ones(1)  # type: ignore[index]
    assert str(error.value) == (
        "Index given to ParameterDict cannot be used as a key as it is not a string "
        "(type is 'int')."
    )
    with pytest.raises(KeyError) as taken:
        m["forward"] = backlit.ones(1)
    assert taken.value.args[0] == "attribute 'forward' already exists"
    with pytest.raises(KeyError):
        m["absent"]
    with pytest.raises(TypeError) as pairs:
        m.update(3)
    assert str(pairs.value) == (
        "ParametersDict.update should be called with an iterable of key/value pairs, but got int"
    )
    with pytest.raises(RuntimeError, match=r"^ParameterDict should not be called\.$"):
        m()
