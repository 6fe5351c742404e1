"""The oracle: interpolated modified Kneser-Ney with dictionaries, one n-gram at a time, straight from Chen & Goodman 1998."""

from collections import Counter, defaultdict

FALLBACK = {1: 0.5, 2: 1.0, 3: 1.5}


class PlainKneserNey:
    """Counts the n-grams of `ids` whose last character is at one of `places` (default: all).

    With a line break, none reaches back over the one that its line begins after.
    """

    def __init__(self, ids, vocab_size, order, places=None, line_break=None):
        self.vocab_size, self.order, self.line_break = vocab_size, order, line_break
        places = range(len(ids)) if places is None else places
        grams = {n: Counter() for n in range(1, order + 1)}
        for t in places:
            for n in range(1, len(self.context(ids[:t])) + 2):
                grams[n][tuple(ids[t - n + 1 : t + 1])] += 1
        self.grams, self.counts = grams, {order: grams[order]}
        for n in range(1, order):
            before = defaultdict(set)
            for gram in grams[n + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[n] = {gram: len(before[gram]) for gram in grams[n] if before[gram]}
            if n > 1:
                self.counts[n] |= {gram: count for gram, count in grams[n].items() if gram[0] == line_break}
        self.discounts = {n: self.told_discounts(self.counts[n].values()) for n in self.counts}

    @staticmethod
    def told_discounts(counts):
        few = Counter(min(c, 5) for c in counts)
        if not all(few[i] for i in (1, 2, 3, 4)):
            return FALLBACK
        y = few[1] / (few[1] + 2 * few[2])
        told = {i: i - (i + 1) * y * few[i + 1] / few[i] for i in (1, 2, 3)}
        return {i: told[i] if told[i] > 0 else FALLBACK[i] for i in told}

    def p(self, context, char):
        """p(char | context), the context already cut to at most order - 1."""
        lower = self.p(context[1:], char) if context else 1 / self.vocab_size
        counts, discounts = self.counts[len(context) + 1], self.discounts[len(context) + 1]
        row = [c for gram, c in counts.items() if gram[:-1] == context]
        if not row:
            return lower
        count = counts.get((*context, char), 0)
        taken = discounts[min(count, 3)] if count else 0
        given = sum(discounts[min(c, 3)] for c in row)
        return (count - taken + given * lower) / sum(row)

    def row(self, text):
        """The distribution of what follows `text`."""
        return [self.p(self.context(text), c) for c in range(self.vocab_size)]

    def context(self, text):
        """What counts of `text`: its last characters, from the last line break on."""
        context = tuple(text[len(text) - min(len(text), self.order - 1) :])
        breaks = [i for i, id in enumerate(context) if id == self.line_break]
        return context[breaks[-1] :] if breaks else context
