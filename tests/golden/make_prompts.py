"""Writes prompts.json: five texts of 100 tokens or more with their ids, by Hugging Face's tokenizer of Gemma 3.

python make_prompts.py PATH_TO_TOKENIZER_JSON > prompts.json; make_continuations.py adds the greedy continuations.
"""

from __future__ import annotations

import json
import sys

from tokenizers import Tokenizer

_TEXTS = {
    "prose": (
        "The lighthouse keeper had lived on the rock for thirty years, and in all that time he had missed only two "
        "nights. Every evening he climbed the hundred and twelve steps, trimmed the lamp, wound the clockwork and "
        "wrote the hour, the wind and the state of the sea into a thick book with a leather cover. Ships passed far "
        "out, and he knew most of them by the way they carried their lights. One autumn morning a small boat came "
        "in through the fog, and the man who stepped out of it"
    ),
    "code": (
        "def merge_sorted(left, right):\n"
        '    """Merges two sorted lists into one sorted list."""\n'
        "    result = []\n"
        "    i = j = 0\n"
        "    while i < len(left) and j < len(right):\n"
        "        if left[i] <= right[j]:\n"
        "            result.append(left[i])\n"
        "            i += 1\n"
        "        else:\n"
        "            result.append(right[j])\n"
        "            j += 1\n"
        "    result.extend(left[i:])\n"
        "    result.extend(right[j:])\n"
        "    return result\n\n\n"
        "def merge_sort(items):\n"
    ),
    "facts": (
        "Questions and answers about the world.\n\n"
        "Q: What is the capital of Italy?\nA: Rome.\n\n"
        "Q: Which planet is closest to the sun?\nA: Mercury.\n\n"
        "Q: How many legs does a spider have?\nA: Eight.\n\n"
        "Q: Which ocean lies between Europe and America?\nA: The Atlantic Ocean.\n\n"
        "Q: What is the chemical symbol of gold?\nA: Au.\n\n"
        "Q: What is the capital of France?\nA:"
    ),
    "german": (
        "Am Morgen des dritten Tages erreichten die Wanderer den Pass. Der Wind kam kalt von Norden, und über den "
        "Gipfeln lag noch Schnee. Unten im Tal sah man die Dächer eines Dorfes, einen schmalen Fluss und die Straße, "
        "die sich in vielen Kehren nach Süden zog. Sie setzten sich hinter einen großen Stein, teilten das letzte "
        "Brot und sprachen darüber, was sie am Abend essen würden. Der älteste von ihnen, der schon oft hier gewesen "
        "war, sagte"
    ),
    "mixed": (
        '{"title": "Inventory", "items": [\n'
        '  {"name": "apple  🍎", "count": 12, "price": 0.35},\n'
        '  {"name": "bread", "count": 3, "price": 2.80},\n'
        '  {"name": "茶 (tea)", "count": 7, "price": 4.10},\n'
        '  {"name": "crème brûlée", "count": 2, "price": 5.50},\n'
        '  {"name": "вода", "count": 24, "price": 0.90},\n'
        '  {"name": "olive oil",\t"count": 1, "price": 8.75},\n'
        '  {"name": "rice", "count": 5, "price":'
    ),
}


def main() -> None:
    tokenizer = Tokenizer.from_file(sys.argv[1])
    entries = []
    for name, text in _TEXTS.items():
        tokens = tokenizer.encode(text).ids
        if len(tokens) < 100:
            raise SystemExit(f"{name}: {len(tokens)} tokens are fewer than 100")
        entries.append({"name": name, "text": text, "tokens": tokens})
    json.dump(entries, sys.stdout, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
