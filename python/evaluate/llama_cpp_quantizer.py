"""llama.cpp's own quantizer on our reference weights, so that nothing but the quantization differs.

The reference is written as a float32 GGUF by gguf-py, with the metadata of a GGUF of the same
model; llama.cpp (the wheel cyllama) quantizes it; our reader reads the result.
"""

from pathlib import Path

import gguf
import numpy as np
from cyllama.llama import llama_cpp

from python.checkpoint.checkpoint import Checkpoint
from python.checkpoint.stored_names import gguf_from_canonical
from python.quant.dequantize import dequantize

# llama.h, llama_ftype
FILE_TYPES = {"Q4_0": 2, "Q4_K_M": 15}
_STRUCTURAL = ("GGUF.", "general.file_type", "general.quantization_version")


def write_float32(reference: Checkpoint, like: Path, output: Path) -> None:
    """A GGUF of `reference`'s weights with the metadata of the file `like`."""
    fields = gguf.GGUFReader(like).fields
    architecture = str(fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(output, architecture)
    for name, field in fields.items():
        if name == "general.architecture" or name.startswith(_STRUCTURAL):
            continue
        kind = field.types[0]
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=element)
    for name in reference.names():
        values = dequantize(name, reference.read(name)).float().numpy()
        writer.add_tensor(gguf_from_canonical(name), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source: Path, file_type: str, output: Path, threads: int) -> None:
    """What `llama-quantize SOURCE OUTPUT TYPE` does."""
    parameters = llama_cpp.LlamaModelQuantizeParams()
    parameters.ftype, parameters.nthread = FILE_TYPES[file_type], threads
    llama_cpp.model_quantize(str(source), str(output), parameters)
