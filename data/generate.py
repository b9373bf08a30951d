"""Write the sample corpus: English-German sentence pairs from a seeded grammar.

python data/generate.py [-o DIR] [--seed 1] [--pairs 8000]
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sample_grammar import (
    linked_sentences,
    number_sentences,
    place_sentences,
    simple_sentences,
    subordinate_sentences,
)
from sample_grammar.dice import Dice

Pair = tuple[str, str]

HELD_OUT = 300
_SHORTEST, _LONGEST = 4, 18
_RARE = 10

FAMILIES: tuple[tuple[Callable[[Dice], Pair], int], ...] = (
    (simple_sentences.statement, 260),
    (simple_sentences.statement_with_place, 60),
    (simple_sentences.yes_no_question, 60),
    (simple_sentences.wh_question, 60),
    (simple_sentences.description, 50),
    (simple_sentences.state, 25),
    (simple_sentences.comparison, 20),
    (simple_sentences.profession, 12),
    (place_sentences.position, 50),
    (place_sentences.animal, 25),
    (place_sentences.journey, 25),
    (place_sentences.residence, 20),
    (place_sentences.present_for, 30),
    (place_sentences.origin, 15),
    (place_sentences.existence, 20),
    (subordinate_sentences.because, 60),
    (subordinate_sentences.although, 20),
    (subordinate_sentences.that, 50),
    (subordinate_sentences.whether, 40),
    (subordinate_sentences.when_if, 40),
    (linked_sentences.relative, 60),
    (linked_sentences.purpose, 30),
    (linked_sentences.attempt, 25),
    (linked_sentences.joined, 20),
    (linked_sentences.taken_up, 25),
    (linked_sentences.need_it, 25),
    (number_sentences.price, 25),
    (number_sentences.big_price, 15),
    (number_sentences.inhabitants, 35),
    (number_sentences.counting, 30),
    (number_sentences.number_itself, 25),
    (number_sentences.stock, 20),
    (number_sentences.age, 20),
    (number_sentences.birthday, 20),
    (number_sentences.appointment, 25),
    (number_sentences.timetable, 25),
    (number_sentences.getting_up, 10),
    (number_sentences.clock, 5),
    (number_sentences.distance, 10),
)


def main() -> None:
    """Write train, valid and test, each as a .en and a .de file, and say what was written."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    splits = draw_splits(options.pairs, options.seed)
    for name, pairs in splits.items():
        for side, language in enumerate(("en", "de")):
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            (options.output / f"{name}.{language}").write_text(text, encoding="utf-8", newline="\n")
    counts = ", ".join(f"{len(pairs)} {name}" for name, pairs in splits.items())
    print(f"wrote {counts} pairs to {options.output}")


def draw_splits(pairs: int, seed: int) -> dict[str, list[Pair]]:
    """`pairs` pairs for training and 300 each for validation and test, no sentence twice on either side."""
    dice = Dice(seed)
    drawn = dice.shuffled(draw(pairs + 2 * HELD_OUT, dice))
    # A held-out sentence asks for a new combination, never for a word that training has hardly seen.
    often = Counter(word for english, _ in drawn for word in _words(english))
    drawn.sort(key=lambda pair: min(often[word] for word in _words(pair[0])) <= _RARE)
    valid, test, train = drawn[:HELD_OUT], drawn[HELD_OUT : 2 * HELD_OUT], drawn[2 * HELD_OUT :]
    return {"train": dice.shuffled(train), "valid": valid, "test": test}


def draw(count: int, dice: Dice) -> list[Pair]:
    """So many pairs that differ, capitals aside, in English and in German; too alike or too long ones are redrawn."""
    pairs: list[Pair] = []
    seen: set[str] = set()
    while len(pairs) < count:
        english, german = (_sentence(side) for side in dice.weigh(FAMILIES)(dice))
        fresh = "en " + english.casefold() not in seen and "de " + german.casefold() not in seen
        if fresh and _SHORTEST <= len(english.split()) <= _LONGEST:
            pairs.append((english, german))
            seen |= {"en " + english.casefold(), "de " + german.casefold()}
    return pairs


def _words(sentence: str) -> list[str]:
    return re.findall("[A-Za-z]+", sentence.casefold())


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the English-German sample corpus.")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "sample", help="directory")
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawing (default: 1)")
    parser.add_argument("--pairs", type=int, default=8000, help="training pairs (default: 8000)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
