"""Devices, layouts and memory formats: PyTorch's names for what there is one of here."""

from __future__ import annotations

from typing import Any

from backlit.errors import ArgumentError


class device:  # noqa: N801 - PyTorch's public name
    """Where tensors live: the CPU, and nowhere else.

    >>> device("cpu")
    device(type='cpu')
    >>> str(device("cpu", 0))
    'cpu:0'
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            index = type.index
            type = str(type.type)
        if not isinstance(type, str):
            raise TypeError(
                f"device(): argument 'type' must be str, not {type.__class__.__name__}; "
                "backlit runs on the CPU: use 'cpu'."
            )
        name, _, number = type.partition(":")
        if name not in ("cpu", "meta"):
            raise ArgumentError(
                f"device {type!r} is not available: backlit runs on the CPU; use device='cpu'."
            )
        self.type = name
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{number})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)


class layout:  # noqa: N801 - PyTorch's public name
    """How elements are stored; there is only `strided`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"backlit.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class memory_format:  # noqa: N801 - PyTorch's public name
    """The order of elements in memory that a caller asks for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"backlit.{self.name}"

    def __reduce__(self) -> str:
        return self.name


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
cpu = device("cpu")


def check_device(given: Any) -> None:
    """Only the CPU exists here; any other device is an error that says so."""
    if given is not None:
        device(given)
