"""The same text in other words, by edits that change no content: contractions and punctuation."""

import re

CONTRACTIONS = (("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"), ("cannot", "can't"),
                ("is not", "isn't"), ("are not", "aren't"), ("I am", "I'm"), ("you are", "you're"), ("it is", "it's"),
                ("that is", "that's"), ("I have", "I've"), ("I will", "I'll"), ("I would", "I'd"),
                ("would not", "wouldn't"), ("should not", "shouldn't"), ("will not", "won't"))
OTHER = {a.lower(): b for a, b in CONTRACTIONS} | {b.lower(): a for a, b in CONTRACTIONS}
# Before these, "it's" and "I'd" are "it has" and "I had". At the end of a clause nothing is contracted.
PATTERN = re.compile(r"\b(" + "|".join(re.escape(p).replace("'", "['’]") for p in sorted(OTHER, key=len, reverse=True))
                     + r")\b(?=\s+\w)(?!\s+(?:been|got|had|better)\b)", re.IGNORECASE)


def _swap(match: re.Match) -> str:
    other = OTHER[match.group().lower().replace("’", "'")]
    return other[:1].upper() + other[1:] if match.group()[:1].isupper() else other


def paraphrase(text: str) -> str:
    """`text` with every contraction written out and every written-out one contracted, and its last full stop dropped
    or added (a last question mark doubled or undoubled). Always differs from `text`."""
    changed = PATTERN.sub(_swap, text)
    if changed.endswith((".", "??")):
        return changed[:-1]
    return changed + ("?" if changed.endswith("?") else ".")
