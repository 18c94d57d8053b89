"""The same text in other words, by edits that change no content: contractions and punctuation."""

import re

CONTRACTIONS = (("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"), ("cannot", "can't"),
                ("is not", "isn't"), ("are not", "aren't"), ("I am", "I'm"), ("you are", "you're"), ("it is", "it's"),
                ("that is", "that's"), ("I have", "I've"), ("I will", "I'll"), ("I would", "I'd"),
                ("would not", "wouldn't"), ("should not", "shouldn't"), ("will not", "won't"))


def paraphrase(text: str) -> str:
    """`text` with every contraction written out and every written-out one contracted, and its last full stop dropped
    or added. Always differs from `text` where that is not empty."""
    pairs = {a.lower(): b for a, b in CONTRACTIONS} | {b.lower(): a for a, b in CONTRACTIONS}
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, sorted(pairs, key=len, reverse=True))) + r")\b", re.IGNORECASE)

    def swap(match: re.Match) -> str:
        other = pairs[match.group().lower()]
        return other[:1].upper() + other[1:] if match.group()[:1].isupper() else other

    changed = pattern.sub(swap, text)
    return changed[:-1] if changed.endswith(".") else changed + "."
