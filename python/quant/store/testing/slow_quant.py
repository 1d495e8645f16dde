"""python/quant's program, whose writes take as long as those of a large checkpoint: it can be stopped in its middle."""

import runpy
import time
from typing import Any

from python.checkpoint.safetensors_writer import write_tensor
from python.quant.store import store

_SECONDS = 0.01  # a tensor

if __name__ == "__main__":

    def write_slowly(*arguments: Any) -> None:
        time.sleep(_SECONDS)
        write_tensor(*arguments)

    vars(store)["write_tensor"] = write_slowly
    runpy.run_module("python.quant.main", run_name="__main__", alter_sys=True)
