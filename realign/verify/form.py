"""A text without its form: what it says, in plain letters and marks."""

import json
import re
import unicodedata

_I = re.IGNORECASE
CITED = re.compile(r" ?\[[^\[\]]*\d[^\[\]]*\]")  # [2], [see 2, 3]
_TYPOGRAPHY = str.maketrans({"ß": "ss", "´": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "„": '"',
                             "—": "-", "–": "-",
                             "‑": "-", "−": "-", "…": ".", "\ufe0f": None,
                             "\u20e3": None, "\u200b": None, "\u200d": None, "\ufeff": None, "。": "."})
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|^#+ ", re.MULTILINE)
# Struck out, commented out, or an address: not said.
_UNSAID = re.compile(r"~~.*?~~|<(s|del|strike)>.*?</\1>|<!--.*?-->|https?://\S+", re.DOTALL | re.IGNORECASE)
_POWER, _MIXED = re.compile("(?<![0-9])10([⁻¹²³⁰⁴-⁹]+)"), re.compile("(?<=[0-9])(?=[¼-¾⅐-⅞])")  # 10⁶, 2½
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
                (re.compile(r"(?<=[a-zI])'ve\b", _I), " have"),
                (re.compile(r"(?<=[a-z])'d\b", _I), " would"), (re.compile(r"(?<=[a-z])'ll\b", _I), " will"))

# The full stop of an abbreviation ends no sentence.
_SHORTENED = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|c(?=\. ?\d)|ca|(?<!is )(?<!: )[SM]t(?=\. [A-Z])|approx|e\.g|i\.e|vs"
                        r"|No(?=\. ?\d))\.(?= ?\S)")
_MAY_SHORTEN = re.compile(r"\b(?:[A-Z]|[DM][rt]s?|Ms|Prof|ca?|St|approx|e\.g|i\.e|vs|No)\.")
_INITIAL = re.compile(r"(?:^|(?<=: )|(?<=\b[Bb]y )|(?<=\bMs )|(?<=\b[DM]r )|(?<=\bMrs )|(?<=\b[A-Z] ))"
                      r"([A-Z])\. ?(?=[A-Z])")
_ANSWERS = ("answer", "final_answer", "final answer", "result", "value", "response", "solution", "output")
_TAGGED = re.compile(r"<answer>(.*?)</answer>", _I | re.DOTALL)
_OPTION = re.compile(r"(?:^|(?<= )(?=\())\W*([A-Ha-h1-9])[).\]:] *(\w.*?)(?= \([a-h]\)|\s*$)", re.MULTILINE)
_CHOSEN = re.compile(r"\b(?:answer|correct|choice|choose|pick|option|solution|it is"
                     r"|one is)\b[^.\n]{0,20}?[ (\[]([A-Ha-h1-9])[)\]]?"
                     r"[.!]*\s*$", _I)


def unwrapped(text: str, of_number: bool) -> str:
    """The answer that a JSON object or a tag holds, or the option of a list that a letter chooses, or a number where no
    number was asked for; else the text as it is."""
    if tagged := _TAGGED.search(text):
        return tagged[1]
    bare = text.strip().removeprefix("```json").strip("`\n ")
    if bare.startswith("{") and bare.endswith("}"):
        try:
            held = json.loads(bare)
        except ValueError:
            return text
        held = {key.casefold(): value for key, value in held.items() if isinstance(value, str | int | float)}
        named = next((held[key] for key in _ANSWERS if key in held), None)
        return str(named if named is not None else next(iter(held.values()))) if named or len(held) == 1 else text
    options = {letter.casefold(): option for letter, option in _OPTION.findall(text)}
    chosen = _CHOSEN.search(text) if len(options) > 1 else None
    if not chosen or (of_number and chosen[1].isdecimal()):
        return text
    return options.get(chosen[1].casefold(), text)


def normal(text: str) -> str:
    """`text` in plain letters and marks: compatibility forms, accents of Latin letters, typographic quotes and dashes,
    Markdown, LaTeX and contractions undone."""
    if "~~" in text or "<" in text or "://" in text:
        text = _UNSAID.sub(" ", text)
    if not text.isascii():
        text = _RAISED.sub("", _POWER.sub(lambda m: "10^" + unicodedata.normalize("NFKC", m[1]), text))
        text = _MIXED.sub(" ", text)
        text = unicodedata.normalize("NFKD", text.translate(_TYPOGRAPHY))
        text = unicodedata.normalize("NFC", "".join(c for c in text if not "\u0300" <= c <= "\u036f"))
    if "\\" in text or "<" in text:
        text = _TAGS.sub(" ", _FRAC.sub(r"\1/\2", text))
    text = _MARKUP.sub("", text)
    if _MAY_SHORTEN.search(text):
        text = _INITIAL.sub(r"\1 ", _SHORTENED.sub(r"\1", text))
    if _MAY_BE_CARELESS.search(text):
        text = _SLANG.sub("do not know", _CARELESS.sub(r"\1 not", text)).replace("ca not", "cannot")
    if "'" in text or "an not" in text:
        for pattern, written in _WRITTEN_OUT:
            text = pattern.sub(written, text)
    return text
