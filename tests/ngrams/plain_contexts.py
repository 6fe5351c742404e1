"""The oracle: contexts as tuples of strings, counted with dictionaries."""

from collections import Counter, defaultdict

REACH = 128


def seen(text: str, *, lines: bool = False) -> tuple[object, ...]:
    """What each kind of context sees of the text before a character."""
    text = text[-REACH:]
    if lines and "\n" in text:
        text = text[text.rindex("\n") :]
    words, open_word = [], False
    for character in text:
        inside = character.isalnum() or character in "'_"
        if inside:
            words = [*words[:-1], words[-1] + character.lower()] if open_word else [*words, character.lower()]
        open_word = inside
    word = words[-1] if open_word else ""
    before = ["", "", *(words[:-1] if open_word else words)]
    back = [""] * 16 + list(text)
    rows = text.split("\n")
    column, above = (len(rows[-1]), "") if len(rows) > 1 else (None, "")
    if len(rows) > 2:
        above = (rows[-2] + "\n")[column : column + 1]
    return (
        (word, before[-1]),
        (word, before[-2]),
        tuple(back[-5:-1]),
        (*back[-5:-2], back[-1]),
        (column, *back[-2:]),
        (above, back[-1]),
        tuple(back[-10:]),
        tuple(back[-16:]),
    )


class PlainContexts:
    """Counts of what follows each context, at some places of a text."""

    def __init__(self, text, places, *, lines=False):
        self.lines = lines
        self.tables = [defaultdict(Counter) for _ in range(8)]
        for place in places:
            for table, context in zip(self.tables, seen(text[:place], lines=lines), strict=True):
                table[context][text[place]] += 1

    def p(self, before, longest, characters, few):
        """Of each kind: the probability of each of the characters, and the escape. `few` are discounts of each kind."""
        told = []
        for table, context, discounts in zip(self.tables, seen(before, lines=self.lines), few, strict=True):
            row = table.get(context, {})
            total = sum(row.values())
            if total < 2:
                told.append(([*longest], 1.0))
                continue
            escape = sum(discounts[min(count, 3)] for count in row.values()) / total
            own = [row[c] - discounts[min(row[c], 3)] if row.get(c) else 0.0 for c in characters]
            told.append(([w / total + escape * p for w, p in zip(own, longest, strict=True)], escape))
        return told
