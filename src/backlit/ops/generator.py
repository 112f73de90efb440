"""Random streams: a seed, and how far it has been used."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

import numpy as np

from backlit.core.create import tensor
from backlit.core.device import check_device
from backlit.core.era import local, realize
from backlit.core.tensor import Tensor
from backlit.core.trace import Tracer
from backlit.errors import ArgumentError, BacklitError
from backlit.ops.reference_random import random_words


class Generator:
    """A stream of random numbers: a seed, and how far it has been used.

    >>> import backlit
    >>> g = backlit.Generator().manual_seed(0)
    >>> a = backlit.rand(2, generator=g); b = backlit.rand(2, generator=g.manual_seed(0))
    >>> bool((a == b).all())
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self.device = device
        self._lock = threading.Lock()
        self._seed = 67280421310721  # the first seed of PyTorch's default generator
        self._offset = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed`` from its beginning."""
        if not isinstance(seed, (int, np.integer)):
            raise TypeError(f"manual_seed expected an integer, got {type(seed).__name__}.")
        with self._lock:
            self._seed = int(seed) % (1 << 128)
            self._offset = 0
        return self

    def seed(self) -> int:
        """Seed from the operating system; returns the seed."""
        value = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(value)
        return value

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self._seed

    def take(self, n: int) -> tuple[int, int]:
        """(seed, offset) of the next ``n`` words, which no one else will get.

        Raises:
            BacklitError: within the body of an op, which runs once for all calls to come.
        """
        if isinstance(local.era, Tracer):
            raise BacklitError(
                "random numbers drawn in the body of an op would be the same at every call; draw "
                "them before the op, and pass them to it."
            )
        with self._lock:
            offset = self._offset
            self._offset = offset + (n + 3) // 4
            taken = self._seed, offset
        if local.observer is not None:
            local.observer.made(functools.partial(self.take, n), taken)
        return taken

    def get_state(self) -> Tensor:
        """The state as a tensor of 8-byte words: seed (two words) and offset."""
        words = [self._seed & (1 << 64) - 1, self._seed >> 64, self._offset]
        return tensor(np.array(words, np.uint64).view(np.uint8))

    def set_state(self, state: Tensor) -> Generator:
        """Go on from a state that `get_state` gave."""
        words = realize(state)
        if words.dtype != np.uint8 or words.size != 24:
            raise ArgumentError(
                f"set_state: expected the 24 bytes (uint8) that get_state returns, got "
                f"{words.size} elements of {state.dtype.name}."
            )
        low, high, offset = (int(w) for w in np.ascontiguousarray(words).view(np.uint64))
        with self._lock:
            self._seed, self._offset = low | high << 64, offset
        return self

    def clone_state(self) -> Generator:
        """A generator at the same point of the same stream."""
        return Generator().set_state(self.get_state())

    def numpy(self) -> np.random.Generator:
        """A NumPy generator seeded by the next words of this stream, for what is drawn at once."""
        words = random_words(*self.take(4), 4)
        return np.random.Generator(np.random.Philox(int(words[0])))

    def __reduce__(self) -> Any:
        return _restore, (np.array(realize(self.get_state())),)


def _restore(state: Any) -> Generator:
    return Generator().set_state(tensor(state))


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator (every ``rand``, ``randn``, ``dropout`` … without
    ``generator=``)."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Set the state of the default generator."""
    default_generator.set_state(state)
