"""GGML's tensor types: their numbers in a GGUF file and the sizes of their blocks.

Source: the GGUF specification (ggml, docs/gguf.md) and the block structures of ggml-common.h.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GgmlType:
    """`columns` numbers, one after another in a row, take `bytes` bytes."""

    number: int
    name: str
    columns: int
    bytes: int

    @property
    def is_plain(self) -> bool:
        """Whether the values stand as ordinary numbers."""
        return self.columns == 1


def _plain(number: int, name: str, size: int) -> GgmlType:
    return GgmlType(number=number, name=name, columns=1, bytes=size)


F32 = _plain(0, "F32", 4)
F16 = _plain(1, "F16", 2)
BF16 = _plain(30, "BF16", 2)
Q4_0 = GgmlType(number=2, name="Q4_0", columns=32, bytes=2 + 16)
Q4_1 = GgmlType(number=3, name="Q4_1", columns=32, bytes=2 + 2 + 16)
Q5_0 = GgmlType(number=6, name="Q5_0", columns=32, bytes=2 + 4 + 16)
Q5_1 = GgmlType(number=7, name="Q5_1", columns=32, bytes=2 + 2 + 4 + 16)
Q8_0 = GgmlType(number=8, name="Q8_0", columns=32, bytes=2 + 32)
Q2_K = GgmlType(number=10, name="Q2_K", columns=256, bytes=16 + 64 + 2 + 2)
Q3_K = GgmlType(number=11, name="Q3_K", columns=256, bytes=32 + 64 + 12 + 2)
Q4_K = GgmlType(number=12, name="Q4_K", columns=256, bytes=2 + 2 + 12 + 128)
Q5_K = GgmlType(number=13, name="Q5_K", columns=256, bytes=2 + 2 + 12 + 32 + 128)
Q6_K = GgmlType(number=14, name="Q6_K", columns=256, bytes=128 + 64 + 16 + 2)
IQ4_NL = GgmlType(number=20, name="IQ4_NL", columns=32, bytes=2 + 16)
IQ4_XS = GgmlType(number=23, name="IQ4_XS", columns=256, bytes=2 + 2 + 4 + 128)

ALL = (F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS)
BY_NUMBER = {kind.number: kind for kind in ALL}
BY_NAME = {kind.name: kind for kind in ALL}

# Types that exist but that we do not read, so that a refusal can name them.
OTHER_NAMES = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 24: "I8",
    25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
    40: "NVFP4",
    41: "Q1_0",
}  # fmt: skip
