"""The class that receives every tensor method the op library defines (see ``methods.pyi``)."""


class TensorMethods:
    """Filled when `backlit.ops` is imported: one method per op that PyTorch has as a method."""

    __slots__ = ()
