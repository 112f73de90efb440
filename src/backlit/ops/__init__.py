"""The op library: one file per family, imported at the first use of a name that it defines.

Importing the package itself only makes `Tensor` look its methods up (`bind`).
"""

from __future__ import annotations

from backlit.ops import bind as bind
