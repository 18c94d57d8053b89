"""Text made comparable, and the texts that a row of the lake holds."""

import re
import unicodedata
from collections.abc import Callable, Sequence

Texts = Callable[[dict], Sequence[str]]  # the texts of a row that a filter looks at

_SPOKEN = {"+": "plus", "-": "minus", "−": "minus", "*": "times", "×": "times", "/": "over",
           "÷": "over", "^": "power"}
_OPERATOR = re.compile(r"(?<=[\d)])\s*([-+−*×/÷^])\s*(?=[\d(−-])")
_SIGN = re.compile(r"(?<!\w)[-−](?=\d)")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")


class _Separators(dict):
    """Translation table: punctuation, signs of calculation, controls and spaces become a space."""

    def __missing__(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))
        self[code] = " " if category[0] in "PZC" or category in ("Sm", "Sk") else code
        return self[code]


_SEPARATORS = _Separators()


def normalise(text: str) -> str:
    """`text` in NFKC, lower case, punctuation and white space collapsed to single spaces.

    What punctuation does between numbers is kept as words ("3 * -4.5" is "3 times minus 4 point
    5"), or two different sums would count as one. A text of nothing but punctuation keeps it.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    spoken = _OPERATOR.sub(lambda m: f" {_SPOKEN[m.group(1)]} ", text)
    spoken = _POINT.sub(" point ", _SIGN.sub(" minus ", spoken))
    words = spoken.translate(_SEPARATORS).split() or text.split()
    return " ".join(words)


def chat_texts(row: dict) -> list[str]:
    """Every message of a row of CHATS."""
    return [message["content"] for message in row["messages"]]


def pair_texts(row: dict) -> list[str]:
    """Every message and both answers of a row of PAIRS."""
    return [*chat_texts(row), row["chosen"], row["rejected"]]
