"""Text made comparable, and the texts that a row of the lake holds."""

import re
import unicodedata
from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa

CHAT_TEXTS = pl.col("messages").list.eval(pl.element().struct.field("content"))  # every message of a row of CHATS
PAIR_TEXTS = pl.concat_list(CHAT_TEXTS, "chosen", "rejected")  # every message and both answers of a row of PAIRS

_SPOKEN = {"+": "plus", "-": "minus", "−": "minus", "*": "times", "×": "times", "/": "over",
           "÷": "over", "^": "power"}
_OPERATOR = re.compile(r"(?<=[\d)])\s*([-+−*×/÷^])\s*(?=[\d(−-])")
_SIGN = re.compile(r"(?<!\w)[-−](?=\d)")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")

# The same for polars, whose regular expressions (Rust's) look neither ahead nor behind: what stands around is captured
# and put back. Classes are spelt out where Rust's differ from Python's.
SPACE, NO_SPACE = r"[\s\x1c-\x1f]", r"[^\s\x1c-\x1f]"
LINE_END = r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"  # where str.splitlines() cuts
_OPERATORS = "[-+−*×/÷^]"
_MARK = "\ufdd0"  # a code point that Unicode keeps free for such use; put before an operator that is to be spoken
_CALCULATION = rf"([\d)]){SPACE}*({_OPERATORS}){SPACE}*([\d(−-])"
_NEGATIVE = r"(^|[^\p{L}\p{N}_])[-−](\d)"
_DECIMAL = r"(\d)\.(\d)"
_SPEAKING = rf"{_CALCULATION}|[-−]\d|{_DECIMAL}"
_SEPARATOR = r"[\p{P}\p{Z}\p{C}\p{Sm}\p{Sk}]+"
# Beside ASCII: letters and quotes that NFKC leaves alone, in any order, and in lower case too. Most texts hold nothing
# else.
_LETTERS = "À-ÖØ-öø-ÿА-яЁё\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"
_QUOTES = "[–—‘’“”„•«»、。「」]"
_UNCOMMON = rf"[^\x00-\x7f{_LETTERS}{_QUOTES[1:-1]}]"
# Characters newer than the Unicode tables of the oldest Python that runs this (3.11), the mark, and the letter whose
# lower case hangs on its neighbours.
_STRANGE = rf"[^\p{{age:14.0}}]|[{_MARK}Σ]"
# What nobody sees: format characters, marks on letters, and letters that Unicode draws as nothing.
_UNSEEN = r"[\p{Cf}\p{M}\u115f\u1160\u2800\u3164]"
_LOOK_ALIKE = {  # Cyrillic, Greek and other letters, in the case in which they look so, by the Latin letter (UTS 39)
    "A": "АΑ", "B": "ВΒ", "C": "С", "E": "ЕΕ", "H": "НΗ", "I": "ІΙӀ", "J": "ЈͿ", "K": "КΚ", "M": "МΜ", "N": "Ν",
    "O": "ОΟՕ", "P": "РΡ", "S": "ЅՏ", "T": "ТΤ", "X": "ХΧ", "Y": "УҮΥ", "Z": "Ζ", "a": "аαɑ", "b": "вƄ", "c": "сςᴄ",
    "d": "ԁđ", "e": "еεҽ", "f": "ꞙ", "g": "ɡց", "h": "һհ", "i": "іιıɩ", "j": "јϳ", "k": "кκ", "l": "ӏł", "m": "м",
    "n": "ոηп", "o": "оοօσøᴏ", "p": "рρ", "q": "ԛզ", "r": "гᴦ", "s": "ѕꜱ", "t": "тτ", "u": "υսᴜ", "v": "νѵᴠ",
    "w": "ԝωաᴡ", "x": "хχ", "y": "уγүʏ", "z": "ᴢ", "ss": "ß", "ae": "æ", "AE": "Æ", "D": "Đ", "L": "Ł", "OE": "Œ",
    "oe": "œ",
}
_LATIN = {other: latin for latin, others in _LOOK_ALIKE.items() for other in others} | {"Ø": "O"}
# Western Europe's letters in lower case, without their accents: most texts beyond ASCII hold no other sign, and what
# they look like is told from their normalised words.
_PLAIN = {letter: _LATIN.get(letter, unicodedata.normalize("NFKD", letter)[0])
          for letter in map(chr, range(ord("ß"), ord("ÿ") + 1)) if letter.isalpha()}
_FOREIGN = rf"[^\x00-\x7fÀ-ÖØ-öø-ÿ{_QUOTES[1:-1]}]"


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
    return _words(_folded(text))


def normalised(text: pl.Expr) -> pl.Expr:
    """`normalise` of a column of texts: equal to it for every text, at the speed of a column."""
    return text.map_batches(lambda texts: words(folded(texts)), return_dtype=pl.String, is_elementwise=True)


def folded(texts: pl.Series) -> pl.Series:
    """The first half of `normalise`, before words are made: NFKC, lower case, NFKC again."""
    return _replaced(texts.str.to_lowercase(), _holding(_UNCOMMON, texts, _wide(texts)), texts, _folded_wide)


def words(folds: pl.Series) -> pl.Series:
    """The second half of `normalise`: of folded texts, the words, with single spaces between them."""
    wide = _wide(folds)
    others = _holding(_UNCOMMON, folds, wide) | folds.str.contains(_SPEAKING)
    plain = _replaced(folds, wide, folds, lambda texts: texts.str.replace_all(_QUOTES, " "))
    out = _replaced(_plain_words(plain), others, folds, _other_words)
    return _replaced(out, out == "", folds, _signs)


def seen_alike(texts: pl.Series, normal: pl.Series) -> pl.Series:
    """Normalised texts once more, so that what looks alike is equal: without accents and unseen characters, and in
    Latin letters where others look like them. `normal` is what `texts` are normalised."""
    wide = _wide(texts)
    others = _holding(_FOREIGN, texts, wide)
    plain = _replaced(normal, wide & ~others, normal, lambda wide: wide.str.replace_many(_PLAIN))
    return _replaced(plain, others, texts, lambda wide: words(folded(
        wide.str.normalize("NFKD").str.replace_all(_UNSEEN, "").str.replace_many(_LATIN))))


def texts_of(frame: pl.DataFrame, texts: pl.Expr) -> pl.DataFrame:
    """Every text of every row, in order: `row` (its place in `frame`), `text`, `folded`, `normal` (normalised once)."""
    found = frame.select(row=pl.int_range(pl.len(), dtype=pl.Int64), text=texts).explode("text").drop_nulls("text")
    folds = folded(found["text"])
    return found.with_columns(folded=folds, normal=words(folds))


def bytes_of(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of texts, one after the other, and where each begins; the last entry is where all end."""
    array = texts.rechunk().to_arrow()
    _, offsets, data = array.buffers()
    offsets = np.frombuffer(offsets, np.int64)[array.offset:array.offset + len(array) + 1]
    data = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    return data[offsets[0]:offsets[-1]], offsets - offsets[0]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _words(text: str) -> str:
    spoken = _OPERATOR.sub(lambda m: f" {_SPOKEN[m.group(1)]} ", text)
    spoken = _POINT.sub(" point ", _SIGN.sub(" minus ", spoken))
    return " ".join(spoken.translate(_SEPARATORS).split() or text.split())


def _folded_wide(texts: pl.Series) -> pl.Series:
    """`folded` of texts that hold uncommon characters."""
    composed = texts.str.normalize("NFKC")
    strange = texts.str.contains(_STRANGE) | composed.str.contains(_STRANGE)
    return _replaced(composed.str.to_lowercase().str.normalize("NFKC"), strange, texts, _each(_folded))


def _plain_words(folds: pl.Series) -> pl.Series:
    """The words of texts that hold ASCII, common letters and no calculation: byte by byte, several times as fast.

    Of other texts it makes something else, but no two run into one another.
    """
    data, offsets = bytes_of(folds)
    # Letters (lower case by now) and digits make words; of the other signs of ASCII only the dollar is no separator.
    word = (data - ord("a") < 26) | (data - ord("0") < 10) | (data == ord("$")) | (data > 127)
    keep = word.copy()
    keep[1:] |= word[:-1]  # the first of several spaces
    begins = offsets[:-1][np.diff(offsets) > 0]
    keep[begins] = word[begins]  # none at the beginning of a text, after the end of another
    word = word.view(np.uint8)
    data = (data * word + (1 - word) * np.uint8(ord(" ")))[keep]
    array = pa.LargeStringArray.from_buffers(len(folds), pa.py_buffer(_counted(keep, offsets)), pa.py_buffer(data))
    return pl.Series(pl.from_arrow(array)).str.strip_chars_end(" ")


def _counted(marks: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many marks stand before each place: by bits, an eighth of the work."""
    bits = np.packbits(np.append(marks, False), bitorder="little")
    before = np.append(0, np.cumsum(np.bitwise_count(bits), dtype=np.int64))
    whole, part = places >> 3, (1 << (places & 7)) - 1
    return before[whole] + np.bitwise_count(bits[whole] & part.astype(np.uint8))


def _other_words(folds: pl.Series) -> pl.Series:
    spaced = _spoken(folds).str.replace_all(_SEPARATOR, " ").str.strip_chars(" ")
    return _replaced(spaced, folds.str.contains(_STRANGE), folds, _each(_words))


def _signs(folds: pl.Series) -> pl.Series:
    """Texts without words: what stands between white space."""
    return folds.str.replace_all(SPACE + "+", " ").str.strip_chars(" ")


def _spoken(folds: pl.Series) -> pl.Series:
    """Folded texts with signs of calculation as words.

    What a match captures on its right may be the left of the next one ("1.2.3"): a second pass finds those.
    """
    for _ in range(2):
        folds = folds.str.replace_all(_CALCULATION, f"${{1}} {_MARK}${{2}} ${{3}}")
    folds = folds.str.replace_many([_MARK + sign for sign in _SPOKEN], list(_SPOKEN.values()))
    folds = folds.str.replace_all(_NEGATIVE, "${1} minus ${2}")
    for _ in range(2):
        folds = folds.str.replace_all(_DECIMAL, "${1} point ${2}")
    return folds


def _wide(texts: pl.Series) -> pl.Series:
    """Which texts hold more than ASCII."""
    return texts.str.len_bytes() != texts.str.len_chars()


def _holding(pattern: str, texts: pl.Series, where: pl.Series) -> pl.Series:
    """Which texts hold the pattern, of those that `where` says."""
    return _replaced(where, where, texts, lambda some: some.str.contains(pattern))


def _replaced(
    found: pl.Series, where: pl.Series, origin: pl.Series, function: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """`found`, but what `function` makes of `origin` where `where` holds."""
    places = where.arg_true()
    return found if places.is_empty() else found.clone().scatter(places, function(origin.gather(places)))


def _each(function: Callable[[str], str]) -> Callable[[pl.Series], pl.Series]:
    """A function of one text as one of a column: one text after the other, in Python."""
    return lambda texts: pl.Series([function(text) for text in texts], dtype=pl.String)
