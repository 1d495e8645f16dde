"""How tokenizer.bin is written (schema cc/text/tokenizer.fbs).

data = tokenizer_from_json(folder / "tokenizer.json")  # or tokenizer_from_gguf(metadata)
write(serialize(data))
"""

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

from python.text.tokenizer_data import TokenizerData

_VERSION = 1
_FILE_IDENTIFIER = b"GTOK"
# Fields of the table Tokenizer, in the order of the schema.
_FIELDS = ("version", "text", "offsets", "kinds", "merges", "bos")
_MERGE_BYTES = 16
_UINT32_BYTES = 4


def serialize(data: TokenizerData) -> bytes:
    """The bytes of tokenizer.bin. Equal data gives equal bytes."""
    text, offsets = data.piece_text()
    builder = flatbuffers.Builder(
        len(text) + offsets.nbytes + data.kinds.nbytes + 2 * data.merges.nbytes + 1024
    )
    vectors = {
        "text": _vector(builder, np.frombuffer(text, np.uint8), 1, 1),
        "offsets": _vector(builder, offsets, _UINT32_BYTES, _UINT32_BYTES),
        "kinds": _vector(builder, data.kinds, 1, 1),
        "merges": _vector(builder, _sorted_merges(data), _MERGE_BYTES, _UINT32_BYTES),
    }
    builder.StartObject(len(_FIELDS))
    builder.PrependUint32Slot(_FIELDS.index("version"), _VERSION, 0)
    for name, offset in vectors.items():
        builder.PrependUOffsetTRelativeSlot(_FIELDS.index(name), offset, 0)
    builder.PrependInt32Slot(_FIELDS.index("bos"), -1 if data.bos_id is None else data.bos_id, -1)
    builder.Finish(builder.EndObject(), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _sorted_merges(data: TokenizerData) -> npt.NDArray[np.uint32]:
    """[merges, 4]: left, right, merged, rank, ascending by (left, right)."""
    ranks = np.arange(len(data.merges), dtype=np.uint32)
    rows = np.column_stack((data.merges, ranks))
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def _vector(
    builder: flatbuffers.Builder, values: npt.NDArray[Any], element_bytes: int, alignment: int
) -> int:
    """Writes an array as a vector of elements of `element_bytes`; returns its offset."""
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    builder.StartVector(element_bytes, len(content) // element_bytes, alignment)
    builder.head = builder.head - len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    return int(builder.EndVector())
