"""How the Triton kernels cut their work: a table by kernel, type and head dimension.

The table is derived, not measured: from registers, spills and shared memory of the kernels compiled
for compute capability 8.0 and 9.0 (tests/attention/test_triton.py holds their limits). Which entry
is fastest only a GPU can tell.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_HEAD = 256
MOST_ROWS = 128  # of a tile: that many rows past the last one are addressed, though not read


class Tiles(NamedTuple):
    """How a kernel cuts its work: query rows and keys of a tile, warps of a program, stages of its
    software pipeline."""

    rows: int
    keys: int
    warps: int
    stages: int


# kernel -> widest head -> tiles; the first entry wide enough counts.
Table = Mapping[str, Mapping[int, Tiles]]
# 16-bit types; within the 99 KB of shared memory that a program has on the smaller GPUs (8.6, 8.9,
# 12.0)
HALF: Table = {
    "forward": {
        48: Tiles(128, 32, 4, 3),
        96: Tiles(64, 64, 4, 3),
        160: Tiles(64, 32, 4, 2),
        256: Tiles(64, 32, 8, 2),
    },
    "backward_queries": {
        48: Tiles(64, 64, 4, 2),
        96: Tiles(64, 32, 4, 2),
        160: Tiles(64, 32, 4, 2),
        256: Tiles(64, 32, 8, 1),
    },
    "backward_keys": {
        48: Tiles(32, 64, 4, 2),
        96: Tiles(32, 64, 4, 2),
        160: Tiles(16, 64, 4, 2),
        256: Tiles(32, 32, 8, 1),
    },
}
# 9.0 and 10.x: 227 KB, and products of 64 rows that read shared memory spare registers
HALF_HOPPER: Table = {
    "forward": {
        48: Tiles(128, 64, 8, 2),
        96: Tiles(64, 64, 4, 3),
        160: Tiles(64, 64, 4, 2),
        256: Tiles(64, 32, 8, 2),
    },
    "backward_queries": {
        48: Tiles(64, 64, 4, 2),
        96: Tiles(64, 64, 4, 2),
        160: Tiles(64, 32, 4, 2),
        256: Tiles(64, 32, 8, 2),
    },
    "backward_keys": {
        48: Tiles(64, 64, 4, 2),
        96: Tiles(32, 64, 4, 2),
        160: Tiles(32, 64, 8, 2),
        256: Tiles(32, 32, 8, 1),
    },
}
SINGLE: Table = {  # without tensor cores operands sit in registers, so tiles are small
    "forward": {
        48: Tiles(64, 64, 8, 2),
        96: Tiles(64, 32, 8, 2),
        160: Tiles(32, 32, 8, 2),
        256: Tiles(16, 16, 4, 2),
    },
    "backward_queries": {
        48: Tiles(64, 32, 8, 2),
        96: Tiles(32, 16, 4, 1),
        160: Tiles(16, 16, 4, 2),
        256: Tiles(16, 16, 8, 2),
    },
    "backward_keys": {
        48: Tiles(32, 32, 8, 2),
        96: Tiles(32, 32, 8, 1),
        160: Tiles(16, 32, 8, 1),
        256: Tiles(16, 16, 8, 1),
    },
}


def tiles_for(kernel: str, q: Tensor, *keys: int) -> Tiles:
    """The table's entry, no larger than the work."""
    table = table_for(q)[kernel]
    tiles = next(table[width] for width in sorted(table) if q.shape[-1] <= width)
    rows, widest = (max(16, _power_of_two(length)) for length in (q.shape[2], max(keys)))
    return tiles._replace(rows=min(tiles.rows, rows), keys=min(tiles.keys, widest))


def table_for(q: Tensor) -> Table:
    """By the queries' type and the GPU's kind."""
    if q.element_size() != 2:
        return SINGLE
    return HALF_HOPPER if q.is_cuda and capability(q.device)[0] in (9, 10) else HALF


def head_pieces(dim: int) -> tuple[int, int]:
    """Two widths, powers of two or 0, that hold ``dim`` numbers together with the least padding: 40
    = 32 + 16, 64 = 64 + 0."""
    whole = max(16, _power_of_two(dim))
    if whole == dim or dim < 16:
        return whole, 0
    rest = max(16, _power_of_two(dim - whole // 2))
    return (whole // 2, rest) if rest < whole // 2 else (whole, 0)


@functools.cache
def capability(device: torch.device) -> tuple[int, int]:
    """Of a GPU; it is asked once."""
    return torch.cuda.get_device_capability(device)


def even(tiles: Tiles, **lengths: int) -> dict[str, bool]:
    """Which lengths are whole numbers of tiles, and so need no mask."""
    return {
        name: length % (tiles.rows if name == "EVEN_ROWS" else tiles.keys) == 0
        for name, length in lengths.items()
    }


def blocks(length: int, size: int) -> int:
    """How many of a size hold a length."""
    return -(-length // size)


def _power_of_two(number: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << (number - 1).bit_length()
