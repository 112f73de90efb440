"""Backlit's exceptions: one tree, each class also the builtin that users already catch.

BacklitError
├── ShapeError        (ValueError, RuntimeError)   sizes that do not fit together
├── DtypeError        (TypeError, RuntimeError)    dtypes that an op does not take
├── ArgumentError     (ValueError, RuntimeError)   an argument outside its domain
├── IndexOutOfRange   (IndexError)                 an index or dim outside its range
├── GradientError     (RuntimeError)               differentiation that cannot be done
│   └── GradcheckError                             differs from central differences
├── LinAlgError       (RuntimeError)               a matrix without inverse or factors
├── MissingExtra      (ImportError)                an optional dependency is not installed
└── VerificationError (AssertionError)             a program breaks its rules: a bug
"""


class BacklitError(Exception):
    """Base class of every error that Backlit raises on purpose."""


class ShapeError(BacklitError, ValueError, RuntimeError):
    """The sizes of the operands do not fit the operation."""


class DtypeError(BacklitError, TypeError, RuntimeError):
    """The operation does not take operands of this dtype."""


class ArgumentError(BacklitError, ValueError, RuntimeError):
    """An argument is outside the values that the operation takes."""


class IndexOutOfRange(BacklitError, IndexError):
    """An index, or the number of a dimension, is outside its range."""


class GradientError(BacklitError, RuntimeError):
    """A derivative was asked for that does not exist or is no longer available."""


class LinAlgError(BacklitError, RuntimeError):
    """A matrix has no inverse, or no factors of the kind asked for."""


class GradcheckError(GradientError):
    """A gradient disagrees with its numerical estimate."""


class MissingExtra(BacklitError, ImportError):
    """A feature needs an optional dependency that is not installed."""


class VerificationError(BacklitError, AssertionError):
    """A program breaks a rule of its own representation; this is a bug in Backlit."""
