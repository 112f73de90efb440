"""Matrix products of fixed sizes, and how a generated kernel cuts them: tiles, panels, blocks.

The figures here were measured on AVX-512 by benchmarks/native_gemm.py. None of them changes a bit
of the results: whatever the cut, an element of C is summed in the order of k.
"""

from __future__ import annotations

from dataclasses import dataclass

from backlit.native.machine.jit import Host

_MOST_ROWS = 12  # of a tile: more is only more code
_WIDE = 4  # vectors of a row of it …
_WIDEST = 5  # … or where the panel of B is read from the first-level cache
_FEWEST_PASSES = 3  # over a panel of B that pay for copying it
_PANEL_BYTES = 256 * 1024  # of the second-level cache for a panel of B …
_ROWS_BYTES = 512 * 1024  # … and for the rows of A that meet it, of which 256 should fit
_USUAL_ROWS = 256
_BAND_BYTES = 2 * 1024 * 1024  # of A for the rows of a block
_PACKED_BYTES = 256 * 1024  # of A, from which packing it pays …
_PACKED_COLUMNS = 512, 1024  # … if so many columns meet it, transposed or not
_NEAR_BYTES = 32 * 1024  # of the first-level cache for a panel of B
_FINISH_BYTES = 16 * 1024  # of the first-level cache for a part of C
# Costs in cycles.
_TILE = 40.0  # of entering and leaving a tile
_SHAPE = 0.01  # more for each shape of tile …
_RISK = 0.02  # … and for the widest
_PACKED = 6.5  # of packing one vector of B, transposed or not
_BLOCK = 3000.0  # of handing out a block
_BYTES = 8.0  # of A and B that arrive per cycle …
_FOREIGN = 2.5  # … and of C, where another core has written them last
_SPLIT = 1 << 20  # multiply-adds from which a product is cut into blocks
_MOST_THREADS = 16  # that blocks are made for


@dataclass(frozen=True)
class Product:
    """A matrix product of fixed sizes: op(A) is m × k, op(B) is k × n, C is m × n and contiguous.

    accumulate: add to C, which is otherwise overwritten without being read.
    lda, ldb: elements from one row of A and B, as stored, to the next; 0 if they are contiguous.

    >>> Product(3, 4, 5, transpose_a=True).lda
    3
    """

    m: int
    n: int
    k: int
    transpose_a: bool = False
    transpose_b: bool = False
    dtype: str = "float32"
    accumulate: bool = False
    lda: int = 0
    ldb: int = 0

    def __post_init__(self) -> None:
        natural_a = self.m if self.transpose_a else self.k
        natural_b = self.k if self.transpose_b else self.n
        object.__setattr__(self, "lda", self.lda or natural_a)
        object.__setattr__(self, "ldb", self.ldb or natural_b)

    @property
    def item(self) -> int:
        return 4 if self.dtype == "float32" else 8

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.m * self.n * self.k


@dataclass(frozen=True)
class Plan:
    """How a kernel walks over C.

    Attributes:
        rows, vectors: a tile of C, in registers; width: lanes of a vector.
        depth: steps of k per panel.
        pack_a: all of A is copied first, for all threads; pack_b: each panel of B is copied.
        block_rows, block_columns: the part of C that one thread computes at a time.
    """

    rows: int
    vectors: int
    width: int
    depth: int
    pack_a: bool
    pack_b: bool
    block_rows: int
    block_columns: int

    @property
    def panel(self) -> int:
        """Columns of a panel of B."""
        return self.vectors * self.width

    def bands(self, product: Product) -> int:
        """How many blocks lie one below the other."""
        return -(-product.m // self.block_rows)

    def blocks(self, product: Product) -> int:
        """How many blocks there are."""
        return self.bands(product) * -(-product.n // self.block_columns)

    def finish_rows(self, product: Product) -> int:
        """Rows of a panel that are finished while they are in the first-level cache."""
        tile = self.rows * self.panel * product.item
        return self.rows * max(1, min(_FINISH_BYTES // tile, self.block_rows // self.rows))

    def row_tiles(self, product: Product) -> int:
        return -(-product.m // self.rows)

    def parts(self, product: Product) -> int:
        """How many parts k is cut into; C is written even where k = 0."""
        return max(1, -(-product.k // self.depth))

    def is_panel(self, product: Product, finishes: bool) -> bool:
        """Whether all is one panel, finished at once, and A is read where it is."""
        panels = -(-product.n // self.panel)
        at_once = not finishes or product.m <= self.finish_rows(product)
        alone = panels == self.blocks(product) == self.parts(product) == 1
        return alone and at_once and not self.pack_a

    def scratch(self, product: Product) -> int:
        """Bytes for the copy of A."""
        if not self.pack_a:
            return 0
        steps = -(-product.k // self.depth) * self.depth
        return (self.row_tiles(product) * self.rows * steps + self.width) * product.item


def plan(product: Product, host: Host, threads: int) -> Plan:
    """The cut with the fewest cycles, by a model: two multiply-adds a cycle, each four long."""
    width = host.width(product.dtype)
    while width > 4 and width // 2 >= product.n:
        width //= 2
    rows, vectors = _tile(product, width, host.registers)
    panel = vectors * width
    passes = -(-product.m // rows)
    pack_a = _packs_a(product) and rows <= width
    pack_b = product.transpose_b or (passes >= _FEWEST_PASSES and product.n > panel)
    depth = _depth(product, panel, width)
    band = max(rows, _BAND_BYTES // (depth * product.item or 1) // rows * rows)
    if product.work < _SPLIT:
        block_rows, block_columns = _up(product.m, rows), _up(product.n, panel)
    else:
        tile = product.k * rows * vectors / 2 + _TILE
        pack = _PACKED * pack_b * vectors * product.k
        block_rows, block_columns = _block(product, rows, panel, band, tile, pack, threads)
    return Plan(rows, vectors, width, depth, pack_a, pack_b, block_rows, block_columns)


def _up(size: int, part: int) -> int:
    return max(1, -(-size // part)) * part


def _tile(product: Product, width: int, registers: int) -> tuple[int, int]:
    columns = -(-product.n // width)
    best: tuple[float, int, int, int] | None = None
    near = product.k * _WIDEST * width * product.item <= _NEAR_BYTES
    for vectors in range(1, min(_WIDEST if near else _WIDE, columns) + 1):
        most_rows = min(product.m, _MOST_ROWS, (registers - vectors - 2) // vectors)
        for rows in range(1, most_rows + 1):
            cycles, shapes = 0.0, 0
            for row_count, r in _parts(product.m, rows):
                for column_count, v in _parts(columns, vectors):
                    step = max(r * v / 2 + (r + v) / 6, 5.0)
                    cycles += row_count * column_count * (product.k * step + _TILE + r * v)
                    shapes += 1
            more = _SHAPE * shapes + _RISK * (vectors == _WIDEST)
            candidate = (cycles * (1 + more), shapes, rows, vectors)
            best = min(best, candidate) if best else candidate
    return best[2:] if best else (1, 1)


def _parts(total: int, size: int) -> list[tuple[int, int]]:
    """(how many, how large) for full parts and the rest."""
    full, rest = divmod(total, size)
    return [part for part in ((full, size), (1, rest)) if part[0] and part[1]]


def _packs_a(product: Product) -> bool:
    """Whether A is large, and met by enough columns."""
    columns = _PACKED_COLUMNS[0 if product.transpose_a else 1]
    return product.n >= columns and product.m * product.k * product.item >= _PACKED_BYTES


def _depth(product: Product, panel: int, width: int) -> int:
    """Steps of k per panel: equal parts, and none of fewer steps than a square has."""
    if not product.k:
        return 1
    most = max(width, _PANEL_BYTES // (panel * product.item))
    rows = max(1, min(product.m, _USUAL_ROWS))
    most = max(width, min(most, _ROWS_BYTES // (rows * product.item)))
    depth = -(-product.k // -(-product.k // most))
    while 0 < product.k % depth < width:
        depth += 1
    return depth


def _block(
    product: Product, rows: int, panel: int, band: int, tile: float, pack: float, threads: int
) -> tuple[int, int]:
    """The size of a block for which `threads` threads are done first, the last of them being
    late by a part of a block.

    What reads C cuts it by rows, and threads have the same part of one array as of the next: of
    blocks side by side, one half is written for another core to read.
    """
    row_tiles, panels = -(-product.m // rows), -(-product.n // panel)
    best: tuple[float, int, int] | None = None
    threads = min(threads, _MOST_THREADS)
    fewest = -(-row_tiles * rows // band)
    for bands in range(fewest, min(row_tiles, fewest + 4 * threads) + 1):
        tall = -(-row_tiles // bands)
        for wide in range(1, panels + 1):
            count = -(-row_tiles // tall) * -(-panels // wide)
            moved = (tall * rows + wide * panel) * product.k * product.item
            foreign = tall * rows * wide * panel * product.item / 2 if wide < panels else 0
            cost = tall * wide * tile + wide * pack + _BLOCK
            cost += moved / _BYTES + foreign / _FOREIGN
            turns = -(-count // threads)
            time = max(turns * cost, count * cost / threads + 0.25 * cost)
            candidate = (time, tall, wide)
            best = min(best, candidate) if best else candidate
    assert best is not None
    return best[1] * rows, best[2] * panel
