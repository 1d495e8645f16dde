"""Matrices that stay quantized in memory, and the values that they stand for.

Invariant: `dequantize` gives exactly what plain loading gives: scale * q + offset in float32,
rounded once to the type that is asked for, on the CPU and on CUDA alike. tinygemm alone rounds
scales and offsets to bfloat16 (`TilePackedInt4.multiply`).
"""

from __future__ import annotations

import abc
import functools

import torch
from torch import nn

from python.checkpoint.quantized import QuantizedTensor
from python.console.errors import UserError

TINYGEMM_GROUPS = (32, 64, 128, 256)
_TILE_ROWS = 8
_K_TILE_COLUMNS = 16
_INNER_K_TILES = (8, 4, 2)  # torchao's own is 8; narrow matrices need fewer
_AMPERE = 8


class PackedWeight(nn.Module, abc.ABC):
    """w[r, c] = scale[r, c // group] * q[r, c] + offset[r, c // group], [rows, columns].

    scale, offset: [rows, columns / group], as quantized.QuantizedTensor has them; offset None: 0.
    """

    scale: torch.Tensor
    offset: torch.Tensor | None

    def __init__(self, tensor: QuantizedTensor, device: torch.device) -> None:
        super().__init__()
        self.rows, self.columns, self.group = tensor.rows, tensor.columns, tensor.group
        offset = None if tensor.offset is None else tensor.offset.to(device)
        self.register_buffer("scale", tensor.scale.to(device), persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    @abc.abstractmethod
    def levels(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """q of a block of rows or of the rows in int64 [n], as int8 [n, columns]."""

    def dequantize(self, rows: slice | torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The values of those rows, [n, columns]."""
        q = self.levels(rows)
        w = q.reshape(q.shape[0], -1, self.group) * self.scale[rows].float().unsqueeze(-1)
        if self.offset is not None:
            w += self.offset[rows].float().unsqueeze(-1)
        return w.reshape(q.shape).to(dtype)

    @property
    def bytes(self) -> int:
        """What it holds in memory."""
        return sum(buffer.nbytes for buffer in self.buffers())


class RowsInt8(PackedWeight):
    """8 bits a weight (torchao's IntxUnpackedToInt8Tensor). q: int8 [rows, columns]."""

    q: torch.Tensor

    def __init__(self, tensor: QuantizedTensor, device: torch.device) -> None:
        super().__init__(tensor, device)
        self.register_buffer("q", tensor.q.to(device), persistent=False)

    def levels(self, rows: slice | torch.Tensor) -> torch.Tensor:
        return self.q[rows]


class RowsInt4(PackedWeight):
    """4 bits a weight, two columns a byte with the even one low (torchao's Int4Tensor).

    nibbles: uint8 [rows, columns / 2], q + 8.
    """

    nibbles: torch.Tensor

    def __init__(self, tensor: QuantizedTensor, device: torch.device) -> None:
        super().__init__(tensor, device)
        q = (tensor.q.to(device) + 8).view(torch.uint8)
        self.register_buffer("nibbles", q[:, 0::2] | (q[:, 1::2] << 4), persistent=False)

    def levels(self, rows: slice | torch.Tensor) -> torch.Tensor:
        return _halves(self.nibbles[rows]).flatten(1) - 8


class TilePackedInt4(PackedWeight):
    """4 bits a weight as tinygemm reads them: torchao's Int4TilePackedTo4dTensor, not padded.

    tiles: int32 [rows / 8, columns / (inner_k_tiles * 16), 32, inner_k_tiles / 2]; scale_and_zero:
    bfloat16 [columns / group, rows, 2]. The exact scales stay beside them, for `dequantize`.
    """

    tiles: torch.Tensor
    scale_and_zero: torch.Tensor

    def __init__(self, tensor: QuantizedTensor, device: torch.device) -> None:
        obstacle = tinygemm_obstacle(tensor, torch.bfloat16, device)
        if obstacle is not None:
            raise ValueError(obstacle)
        super().__init__(tensor, device)
        _check_tiles(device)
        self.register_buffer("tiles", pack_tiles(tensor.q.to(device)), persistent=False)
        offset = torch.zeros_like(self.scale) if self.offset is None else self.offset
        pairs = torch.stack((self.scale, offset), dim=-1).to(torch.bfloat16)
        self.register_buffer("scale_and_zero", pairs.transpose(0, 1).contiguous(), persistent=False)

    def levels(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """Blocks begin at a multiple of 8 rows."""
        assert isinstance(rows, slice)
        start, stop, _ = rows.indices(self.rows)
        assert start % _TILE_ROWS == 0
        tiles = self.tiles[start // _TILE_ROWS : -(-stop // _TILE_ROWS)]
        return unpack_tiles(tiles)[: stop - start]

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """x w^T by tinygemm. x: bfloat16 [tokens, columns] -> bfloat16 [tokens, rows]."""
        product: torch.Tensor = torch.ops.aten._weight_int4pack_mm(
            x.contiguous(), self.tiles, self.group, self.scale_and_zero
        )
        return product


def pack(tensor: QuantizedTensor, dtype: torch.dtype, device: torch.device) -> PackedWeight:
    """The form in which a matrix is multiplied with activations of `dtype` on `device`."""
    if tensor.bits == 8:
        return RowsInt8(tensor, device)
    if tinygemm_obstacle(tensor, dtype, device) is None:
        return TilePackedInt4(tensor, device)
    return RowsInt4(tensor, device)


def tinygemm_obstacle(
    tensor: QuantizedTensor, dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why tinygemm cannot multiply with this matrix, None where it can."""
    if device.type != "cuda":
        return "tinygemm needs CUDA"
    if torch.cuda.get_device_capability(device)[0] < _AMPERE:
        return "tinygemm needs compute capability 8.0"
    if dtype != torch.bfloat16:
        return f"tinygemm needs bfloat16 activations, these are {dtype}".replace("torch.", "")
    if tensor.bits != 4:
        return f"tinygemm needs 4 bits, these are {tensor.bits}"
    if tensor.group not in TINYGEMM_GROUPS:
        return f"tinygemm needs groups of {TINYGEMM_GROUPS}, these are of {tensor.group}"
    if tensor.rows % _TILE_ROWS:
        return f"tinygemm needs a multiple of {_TILE_ROWS} rows, these are {tensor.rows}"
    return None


def pack_tiles(q: torch.Tensor) -> torch.Tensor:
    """int8 [rows, columns] of -8 to 7, on CUDA -> tiles (`TilePackedInt4`), by a PyTorch operation."""
    nibbles = (q + 8).view(torch.uint8)
    pairs = (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]  # here the even column is the high one
    tiles: torch.Tensor = torch.ops.aten._convert_weight_to_int4pack(
        pairs.contiguous(), _inner_k_tiles(q.shape[1])
    )
    return tiles


def unpack_tiles(tiles: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack_tiles`: int8 [rows, columns].

    A lane of a tile holds what one thread of `mma.m16n8k16` multiplies: of row lane / 4, and of two
    k tiles of 16 columns, the columns 2 (lane % 4) + {0, 1, 8, 9}; even columns in the low half of
    the int32, odd ones in the high half.
    """
    row_tiles, k_blocks, lanes, pairs = tiles.shape
    nibbles = _halves(tiles.view(torch.uint8).reshape(*tiles.shape, 4))
    # [row tile, k block, row, lane % 4, pair of k tiles, odd, k tile of the pair, half of 8]
    spread = nibbles.reshape(row_tiles, k_blocks, lanes // 4, 4, pairs, 2, 2, 2)
    ordered = spread.permute(0, 2, 1, 4, 6, 7, 3, 5)
    columns = k_blocks * pairs * 2 * _K_TILE_COLUMNS
    return ordered.reshape(row_tiles * _TILE_ROWS, columns) - 8


def _halves(packed: torch.Tensor) -> torch.Tensor:
    """uint8 [..., n] -> int8 [..., n, 2]: low halves and high halves."""
    return torch.stack((packed & 0x0F, packed >> 4), dim=-1).view(torch.int8)


def _inner_k_tiles(columns: int) -> int:
    """The largest number of k tiles side by side that divides the columns (a multiple of 32)."""
    return next(n for n in _INNER_K_TILES if columns % (n * _K_TILE_COLUMNS) == 0)


@functools.cache
def _check_tiles(device: torch.device) -> None:
    """Raises UserError where this PyTorch lays tiles out in another way than is unpacked here."""
    generator = torch.Generator().manual_seed(0)
    for inner in _INNER_K_TILES:
        shape = (2 * _TILE_ROWS, 3 * inner * _K_TILE_COLUMNS)
        q = torch.randint(-8, 8, shape, dtype=torch.int8, generator=generator).to(device)
        if not torch.equal(unpack_tiles(pack_tiles(q)), q):
            raise UserError(
                f"PyTorch {torch.__version__} packs INT4 tiles on {device} in an unknown order "
                "(use --weights plain)"
            )
