"""A text without its form: what it says, in plain letters and marks."""

import re
import unicodedata

_I = re.IGNORECASE
_TYPOGRAPHY = str.maketrans({"´": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "„": '"',
                             "—": "-", "–": "-",
                             "‑": "-", "−": "-", "…": ".", "\ufe0f": None,
                             "\u20e3": None, "\u200b": None, "\u200d": None, "\ufeff": None, "。": "."})
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|^#+ ", re.MULTILINE)
# Struck out, commented out, or an address: not said.
_UNSAID = re.compile(r"~~.*?~~|<(s|del|strike)>.*?</\1>|<!--.*?-->|https?://\S+", re.DOTALL | re.IGNORECASE)
_RAISED = re.compile("(?<![ckm]m)(?<!\\bm)(?<! m)[¹²³⁰⁴-⁹]+")  # the number of a footnote, not the 2 of m²
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>|\\(?:boxed|text|mathrm|mathbf|textbf|emph)(?=\{)|\\[()\[\]]")
_FRAC = re.compile(r"\\d?frac\{(\d+)\}\{(\d+)\}")
# Negations without their apostrophe, and slang.
_CARELESS = re.compile(r"\b(do|does|did|is|was|are|were|have|has|had|could|would|should|ca)nt\b", _I)
_SLANG = re.compile(r"\b(?:idk|dunno|dno)\b", _I)
_MAY_BE_CARELESS = re.compile("nt |idk|dunno|IDK|Dunno|Idk")
_WRITTEN_OUT = ((re.compile(r"\b(c)an't\b", _I), r"\1annot"), (re.compile(r"\b(w)on't\b", _I), r"\1ill not"),
                (re.compile(r"n't\b", _I), " not"), (re.compile(r"\bcan not\b", _I), "cannot"),
                (re.compile(r"\b(it|that|this|he|she|there|what|here|who|answer)'s\b", _I), r"\1 is"),
                (re.compile(r"\b(I)'m\b", _I), r"\1 am"), (re.compile(r"(?<=[a-z])'re\b", _I), " are"),
                (re.compile(r"(?<=[a-z])'d\b", _I), " would"), (re.compile(r"(?<=[a-z])'ll\b", _I), " will"))


def normal(text: str) -> str:
    """`text` in plain letters and marks: compatibility forms, accents of Latin letters, typographic quotes and dashes,
    Markdown, LaTeX and contractions undone."""
    if "~~" in text or "<" in text or "://" in text:
        text = _UNSAID.sub(" ", text)
    if not text.isascii():
        text = _RAISED.sub("", text)
        text = unicodedata.normalize("NFKD", text.translate(_TYPOGRAPHY))
        text = unicodedata.normalize("NFC", "".join(c for c in text if not "\u0300" <= c <= "\u036f"))
    if "\\" in text or "<" in text:
        text = _TAGS.sub(" ", _FRAC.sub(r"\1/\2", text))
    text = _MARKUP.sub("", text)
    if _MAY_BE_CARELESS.search(text):
        text = _SLANG.sub("do not know", _CARELESS.sub(r"\1 not", text)).replace("ca not", "cannot")
    if "'" in text or "an not" in text:
        for pattern, written in _WRITTEN_OUT:
            text = pattern.sub(written, text)
    return text
