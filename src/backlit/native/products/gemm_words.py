"""A product's sizes, strides and code as the words that the walk over its blocks reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from backlit.native.products.gemm_blocks import SIZES
from backlit.native.products.gemm_finish import Finish
from backlit.native.products.gemm_packing import Copier, Turner
from backlit.native.products.gemm_plan import Plan, Product
from backlit.native.products.gemm_tiles import GROUP, Tile

_LARGE = 1 << 21  # bytes of C that the second-level cache does not hold


class Part(Protocol):
    """Compiles a function: its name, what says all about it, how its text is made."""

    def __call__(self, name: str, part: object, text: Callable[[], str]) -> int: ...


def words(product: Product, plan: Plan, part: Part, finish: Finish | None) -> tuple[int, ...]:
    """What follows the addresses {A, B, C, scratch} in the context of a product."""
    sizes = _sizes(product, plan, finish, _packs_a(product, plan, part))
    groups: list[int] = []
    for rows in (plan.rows, product.m % plan.rows):
        for columns in (plan.panel, product.n % plan.panel):
            occurs = 0 < rows <= product.m and 0 < columns <= product.n
            groups += (
                _group(product, plan, part, finish, rows, columns, sizes) if occurs else [0] * GROUP
            )
    return (*(sizes[name] for name in SIZES), *groups)


def _sizes(product: Product, plan: Plan, finish: Finish | None, packs_a: int) -> dict[str, int]:
    item = product.item
    lda, ldb = product.lda * item, product.ldb * item
    a_row, a_step = (item, lda) if product.transpose_a else (lda, item)
    b_column, b_step = (ldb, item) if product.transpose_b else (item, ldb)
    row_tiles = plan.row_tiles(product)
    packed = plan.depth * item, row_tiles * plan.rows * item
    tile_row, tile_step = packed if plan.pack_a else (a_row, a_step)
    return {
        "m": product.m,
        "n": product.n,
        "k": product.k,
        "item": item,
        "rows": plan.rows,
        "panel": plan.panel,
        "depth": plan.depth,
        "parts": plan.parts(product),
        "bands": plan.bands(product),
        "blocks": plan.blocks(product),
        "row_tiles": row_tiles,
        "block_rows": plan.block_rows,
        "block_columns": plan.block_columns,
        "finish_rows": plan.finish_rows(product) if finish else plan.block_rows,
        "accumulates": int(product.accumulate),
        "panel_bytes": plan.depth * plan.panel * item if plan.pack_b else 0,
        "a_row": a_row,
        "a_step": a_step,
        "b_column": b_column,
        "b_step": b_step,
        "tile_row": tile_row,
        "tile_step": tile_step,
        "a_line": lda,
        "b_line": ldb,
        "packs_a": packs_a,
    }


def _group(
    product: Product,
    plan: Plan,
    part: Part,
    finish: Finish | None,
    rows: int,
    columns: int,
    sizes: dict[str, int],
) -> list[int]:
    """The words of tiles of one shape."""
    dtype, width, item = product.dtype, plan.width, product.item
    vectors = -(-columns // width)
    masked = columns % width > 0
    large = product.m * product.n * item > _LARGE
    tile = Tile(dtype, width, rows, vectors, masked, plan.pack_a or product.transpose_a, large)
    pack = finished = 0
    if plan.pack_b:
        copier = (
            Turner(dtype, width) if product.transpose_b else Copier(dtype, width, vectors, masked)
        )
        pack = part(copier.name, copier, copier.text)
    if finish is not None:
        identity = f"finish {dtype} {width}\n{finish.graph.identity()}"
        finished = part("finish", identity, lambda: finish.text(dtype, width))
    panel_step = vectors * width if plan.pack_b else product.ldb
    a_stride = rows if plan.pack_a else product.lda
    return [
        part(tile.name, tile, tile.text),
        pack,
        finished,
        panel_step * item,
        product.n * item,
        (1 << columns - (vectors - 1) * width) - 1,
        a_stride * item,
        rows * sizes["tile_row"],
        tile.claim_shift(plan.depth),
    ]


def _packs_a(product: Product, plan: Plan, part: Part) -> int:
    """The address of the code that copies A; 0 if it is read where it is."""
    if not plan.pack_a:
        return 0
    dtype, width = product.dtype, plan.width
    copier = Copier(dtype, width, 1, True) if product.transpose_a else Turner(dtype, width)
    return part(copier.name, copier, copier.text)
