"""The class that receives every tensor method the op library defines (see ``methods.pyi``)."""


class TensorMethods:
    """Filled by `backlit.ops.bind`: one method per op that PyTorch has as a method."""

    __slots__ = ()
