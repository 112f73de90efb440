"""The op library: one file per family; importing it binds the methods of `Tensor`."""

from __future__ import annotations

from backlit.ops import access, elementwise, linalg, movement, reduce
from backlit.ops import activation as activation
from backlit.ops import arithmetic as arithmetic
from backlit.ops import arithmetic_products as arithmetic_products
from backlit.ops import bitwise as bitwise
from backlit.ops import comparison as comparison
from backlit.ops import convert as convert
from backlit.ops import create as create
from backlit.ops import distance as distance
from backlit.ops import dropout as dropout
from backlit.ops import einsum as einsum
from backlit.ops import extreme as extreme
from backlit.ops import functional as functional
from backlit.ops import gather as gather
from backlit.ops import index as index
from backlit.ops import index_cards as index_cards
from backlit.ops import linalg_factor as linalg_factor
from backlit.ops import linalg_function as linalg_function
from backlit.ops import linalg_lu as linalg_lu
from backlit.ops import linalg_norm as linalg_norm
from backlit.ops import linalg_solve as linalg_solve
from backlit.ops import loss as loss
from backlit.ops import loss_likelihood as loss_likelihood
from backlit.ops import loss_linear as loss_linear
from backlit.ops import loss_margin as loss_margin
from backlit.ops import masked as masked
from backlit.ops import mathematics as mathematics
from backlit.ops import mathematics_trig as mathematics_trig
from backlit.ops import normalization as normalization
from backlit.ops import random as random
from backlit.ops import scan as scan
from backlit.ops import scatter as scatter
from backlit.ops import search as search
from backlit.ops import shape as shape
from backlit.ops import shape_arrange as shape_arrange
from backlit.ops import shape_inplace as shape_inplace
from backlit.ops import shape_join as shape_join
from backlit.ops import shape_memory as shape_memory
from backlit.ops import shape_pad as shape_pad
from backlit.ops import shape_split as shape_split
from backlit.ops import softmax as softmax
from backlit.ops import sort as sort
from backlit.ops import special as special
from backlit.ops import statistics as statistics
from backlit.ops.bind import bind

bind()

__all__ = ["access", "elementwise", "linalg", "movement", "reduce"]
