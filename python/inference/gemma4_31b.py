"""Runs Gemma 4 31B eagerly in PyTorch. Any dense Gemma text checkpoint works."""

from python.inference import generate_main

if __name__ == "__main__":
    generate_main.run()
