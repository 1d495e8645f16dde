"""Runs Gemma 4 31B eagerly in PyTorch, to compare with; the C++ runner is the fast way.

    ./bazelw run //python/inference:gemma4_31b -- --checkpoint DIR --prompt "Why is the sky blue?"

Any dense Gemma text checkpoint works.
"""

from python.console import main
from python.inference import generate_main

if __name__ == "__main__":
    main.run(generate_main.program())
