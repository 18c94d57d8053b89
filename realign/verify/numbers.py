"""The numbers that a text holds: digits of every script, words, Roman and Chinese numerals, fractions, units.

`in_digits` writes every number in ASCII digits, so that one grammar, `NUMBER`, reads them all. Words are English, up to
trillions; digits of other scripts are those of Unicode's decimal property. Units convert within a dimension by the
factors of the SI Brochure (9th edition) and the international yard and pound.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

_SMALL = {name: value for value, name in enumerate(
    [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"
    ])}
_TENS = {name: 10 * place for place, name in enumerate(
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2)}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_CHINESE = {c: value for value, c in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2, "兩": 2}
_CHINESE_TENS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}

_COUNT = "|".join(sorted([*_SMALL, *_TENS], key=len, reverse=True))
_SCALE = "|".join(_SCALES)
_PART = "|".join(sorted(_PARTS, key=len, reverse=True))
_WORDS = re.compile(
    rf"(?<![a-z]-)\b(?:(?:{_COUNT})|an?(?= (?:{_SCALE})\b))(?:(?:[ -]|,? and |, )(?:{_COUNT}|(?:{_SCALE})s?)\b)*"
    rf"(?P<point> point(?: (?:{'|'.join(_SMALL)})\b)+)?\b", re.IGNORECASE)
# two hundred and five
_JOINT = re.compile(r"(?:(?<=hundred)|(?<=thousand)|(?<=[mb]illion)|(?<=trillion)|(?<=dozen))(?:,? and |, )")
_APART = re.compile(r"(,? and |, )")
_ONE = re.compile(r"(?:\b(?:is|has|have|had|are|equals|only|exactly|just|leaves|makes|gets?|minus|plus|times|or|and|to"
                  r"|negative)|[=:+*/-]|^)\W*$", re.IGNORECASE)
_FRACTION = re.compile(rf"\b(?:(?P<above>\d+)[ -]|an? )?(?P<below>{_PART})s?\b(?: an?\b| of an?\b)?",
                       re.IGNORECASE)
_AND_A_HALF = ((re.compile(r"\ban? (\w+) and (?:an? |1[ /])(?:half|/2)\b", re.IGNORECASE), r"1.5 \1"),
               (re.compile(r"\b(\d+)( \w+)? and (?:an? |1 )half\b", re.IGNORECASE), r"\1.5\2"),
               (re.compile(r"\b(\d+)( \w+)? and (?:an? |1 )quarter\b", re.IGNORECASE), r"\1.25\2"))
_OPERATORS = ((re.compile(r"(?<=\d) plus (?=\d)", re.IGNORECASE), " + "),
              (re.compile(r"(?<=\d) (?:minus|less) (?=\d)", re.IGNORECASE), " - "),
              (re.compile(r"(?<=\d) (?:times|multiplied by) (?=\d)", re.IGNORECASE), " * "),
              (re.compile(r"(?<=\d) divided by (?=\d)", re.IGNORECASE), " / "),
              (re.compile(r"(?<=\d) equals (?=[-\d])", re.IGNORECASE), " = "),
              (re.compile(r"\b(?:minus|negative) (?=\d)", re.IGNORECASE), "-"))
_NTH = {name: value for value, name in enumerate(
    [
        "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
        "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
        "nineteenth"
    ])} | {name[:-1] + "ieth": value for name, value in _TENS.items()}
_PLACES = "|".join(sorted(_NTH, key=len, reverse=True))
_ORDINAL = re.compile(rf"\b(?:(?P<tens>{'|'.join(_TENS)})[- ])?(?P<nth>{_PLACES})\b", re.IGNORECASE)
# "the twenties", the 1840s: all numbers of a decade.
_HALF_A = re.compile(rf"\bhalf an? ({_SCALE})\b", re.IGNORECASE)
_DECADE = re.compile(rf"\b(?:the|her|his|their|its)(?: early| mid| late)? ({'|'.join(n[:-1] for n in _TENS)})ies\b",
                     re.IGNORECASE)
_BELOW_ZERO = re.compile(r"(?<![\w.,-])(\d+(?:[.,]\d+)?)((?: ?°[CF]?| degrees?(?: celsius| fahrenheit| [CF])?)?)"
                         r" (?:below|under) (?:zero|0|freezing)\b", re.IGNORECASE)
_AN_HOUR = re.compile(r"\b(?:an?|one) (hour|minute|day|week|month|year|decade|century|mile|foot|yard|kilometre"
                      r"|kilometer"
                      r"|metre|meter|pound|kilo(?:gram)?)(?=,? (?:and )?\d)", re.IGNORECASE)
_A_UNIT = re.compile(r"\ban? ((?:fortnight|hour|minute|day|week|month|year|decade|century|mile|metre|meter"
                     r"|kilometre|kilo|pound"
                     r"|litre|liter|euro|dollar)\b)", re.IGNORECASE)
_MAY_HOLD_WORDS = re.compile(rf"{_COUNT}|ties\b|{_SCALE}|{_PART}|minus|negative|plus|times|equals"
                             rf"|divided", re.IGNORECASE)
_CHINESE_RUN = re.compile(f"[{''.join([*_CHINESE, *_CHINESE_TENS])}]+")
_ROMAN_RUN = re.compile(r"(?<!\w)(?=[MDCLXVI]{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?!\w)")

# Spanish, French, German, Italian and Portuguese from 0 to 99, without accents and without what is a word of English,
# too. Ones from 0 to 19, then the tens from 20.
_ONES = {
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis"
          " diecisiete dieciocho diecinueve",
    "fr": "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept"
          " dix-huit dix-neuf",
    "de": "null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn"
          " siebzehn achtzehn neunzehn",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici"
          " diciassette diciotto diciannove",
    "pt": "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete"
          " dezoito dezenove"}
_TENFOLD = {"es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
            "fr": "vingt trente quarante cinquante soixante soixante-dix quatre-vingt quatre-vingt-dix",
            "de": "zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig",
            "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
            "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa"}
_JOINED = {"es": ("{ten} y {one}", "{stem}i{one}"), "fr": ("{ten}-{one}", "{ten} et {one}", "{ten}-et-{one}"),
           "de": ("{one}und{ten}",), "it": ("{ten}{one}", "{stem}{one}"), "pt": ("{ten} e {one}",)}


def _foreign() -> dict[str, int]:
    """Each of these numbers, as it is written, with its value."""
    found = {"quatre-vingts": 80}
    for language, ones in _ONES.items():
        for value, one in enumerate(ones.split()):
            found[one] = value
            for ten, word in enumerate(_TENFOLD[language].split(), start=2):
                found[word] = 10 * ten
                if value < 10 or (language == "fr" and ten in (6, 8)):  # soixante-quinze, quatre-vingt-douze
                    part = "ein" if one == "eins" else one
                    found |= {form.format(ten=word, stem=word[:-1], one=part): 10 * ten + value
                              for form in _JOINED[language] if value}
    return {word: value for word, value in found.items() if word not in {*_SMALL, *_ENGLISH}}


_ENGLISH = ("once", "due", "un", "um", "elf", "sure")
_FOREIGN = _foreign()
_POWER_OF_TEN = re.compile(r"(?:(\d+(?:\.\d+)?) ?[x×*] ?)?(?<!\d)10\^\{?(-?\d{1,2})\}?(?!\d)")
_OH = re.compile(r"\b(ten|\w+teen|twenty) oh[ -](one|two|three|four|five|six|seven|eight"
                 r"|nine)\b", re.IGNORECASE)  # twenty oh five
_RUN_ON = re.compile(r"(?<=\d)(h|hr|ft|min)(?=\d)", re.IGNORECASE)
_FOREIGN_WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(_FOREIGN, key=len, reverse=True))})(?![\w-]| y\b| et\b"
                           rf"| e\b)", re.IGNORECASE)

_LETTERS = re.compile(r"[^\W\d_]+")
_FOREIGN_STARTS = frozenset(_LETTERS.match(word).group() for word in _FOREIGN)

# A minus sign belongs to a number unless something to subtract from stands right before it.
NUMBER = re.compile(
    r"(?:(?<![\w)%.])[-−])?(?<!\w)(?<!\d\.)(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d{1,3}(?:['\u202f\u00a0 ]\d{3})+(?!\d)"
    r"|\d{1,3}(?:\.\d{3}){2,}(?!\d)|\d+)?(?:(?<=\d)|(?<![\w.)])(?=\.\d))(?:\.\d+|(?<![,']\d{3}),\d{1,2}(?![\d,]))?"
    r"(?<=\d)", re.IGNORECASE)
_TAIL = re.compile(rf"(?:(?P<mixed> \d+)?/(?P<below>[1-9]\d*)(?![\d/]))?"
                   rf"(?: ?(?P<scale>{_SCALE})s?\b|(?P<thousand>k)\b|(?P<million>(?-i:M)|mn)\b|(?P<billion>bn)\b)?",
                   re.IGNORECASE)

LONGEST = 400  # digits that are read of a number: Python converts up to 4,300, and no quantity has so many
_UNITS = {
    "length": "m metre meter metro=1 km kilometre kilometer kilometro=1000 cm centimetre centimeter=1/100 mm millimetre"
              " millimeter=1/1000 "
              "mi mile=1609.344 yd yard=0.9144 ft foot feet=0.3048 inch=0.0254",
    "mass": "kg kilo kilogram kilogramme=1 g gram gramme=1/1000 mg milligram=1/1000000 t tonne=1000 lb "
            "pound=0.45359237 oz ounce=0.028349523125",
    "time": "fortnight=1209600 s sec second=1 min minute minuto=60 h hr hour hora stunde heure=3600 day=86400"
            " week=604800 ms millisecond=1/1000",
    "months": "month=1 yr year=12 decade=120 century centurie=1200",
    "volume": "l litre liter=1 ml millilitre milliliter=1/1000 cl centilitre centiliter=1/100 m3=1000",
    "area": "m2=1 km2=1000000 ha hectare=10000", "speed": "km/h kph kmh=1 mph=1.609344 m/s=3.6",
    "celsius": "°c celsius=1", "fahrenheit": "°f fahrenheit=1", "kelvin": "kelvin=1", "share": "% percent=1/100",
    "dollar": "$ dollar usd=1 cent=1/100", "euro": "€ euro eur=1", "sterling": "£ gbp=1", "yen": "¥ yen jpy=1",
    "watt": "w watt=1 kw kilowatt=1000",
    "byte": "byte=1 kb kilobyte=1000 mb megabyte=1000000 gb gigabyte=1000000000",
}


def _units() -> dict[str, tuple[str, Fraction]]:
    """Name to (dimension, factor to its first unit)."""
    found = {}
    for dimension, line in _UNITS.items():
        names = []
        for word in line.split():
            name, _, factor = word.partition("=")
            names.append(name)
            if factor:
                found |= {n: (dimension, Fraction(factor)) for n in names}
                names = []
    return found


UNITS = _units()
_LONG = {"square metre": "m2", "square meter": "m2", "square kilometre": "km2", "square kilometer": "km2",
         "cubic metre": "m3", "cubic meter": "m3", "degree celsius": "celsius", "degrees celsius": "celsius",
         "degree fahrenheit": "fahrenheit", "degrees fahrenheit": "fahrenheit", "per cent": "percent",
         "kilometres per": "km/h", "kilometers per": "km/h", "miles per": "mph", "metres per": "m/s",
         "meters per": "m/s", "km per": "km/h"}
_NEXT = re.compile(r"[ -]?([$€£¥%°a-zA-Z/]+(?:[23](?!\d))?)(?: ([a-z]+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number of a text: its value, where it stands, what it counts (a unit's name, any other word, or nothing)."""

    value: Fraction
    start: int
    end: int
    noun: str = ""
    grouped: bool = False  # written as 1.500, which may be 1500

    @property
    def unit(self) -> tuple[str, Fraction] | None:
        return UNITS.get(self.noun)


def in_digits(text: str) -> str:
    """`text` with its numbers, of whatever script and in words, written in ASCII digits."""
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(c)) if c > "\x7f" and c.isdecimal() else c for c in text)
        text = text.replace("٫", ".").replace("٬", ",").replace("⁄", "/").replace("−", "-")
        text = _CHINESE_RUN.sub(lambda m: f" {_chinese(m.group())} ", text)
    if "^" in text:
        text = _POWER_OF_TEN.sub(_from_power, text)
    text = _RUN_ON.sub(r"\1 ", text)
    if _MAY_HOLD_WORDS.search(text):
        text = _OH.sub(r"\1 hundred \2", text)
        text = _HALF_A.sub(lambda m: str(_SCALES[m[1].casefold()] // 2), text)
        text = _DECADE.sub(lambda m: f"the {_TENS[m[1].casefold() + 'y']}s", text)
        text = _ORDINAL.sub(_compound_ordinal, text)
        text = _WORDS.sub(_from_words, text)
        for pattern, written in _AND_A_HALF:
            text = pattern.sub(written, text)
        text = _FRACTION.sub(_from_fraction, text)
        for pattern, written in _OPERATORS:
            text = pattern.sub(written, text)
    text = _AN_HOUR.sub(r"1 \1", text)
    return _BELOW_ZERO.sub(r"-\1\2", text) if "elow" in text or "nder" in text else text


def more_in_digits(text: str) -> str:
    """`text` with ordinal words ("third", "twelfth") and single units ("a fortnight") as digits, too."""
    text = _A_UNIT.sub(r"1 \1", text)
    return _ORDINAL.sub(lambda m: str(_NTH[m["nth"].casefold()]) + "th", text)


def numbers(text: str) -> list[Number]:
    """The numbers of a text whose numbers are in digits, in order; "1 hour 30 minutes" is one. Roman numerals count
    only where nothing else is a number."""
    found: list[Number] = []
    place = 0
    while match := NUMBER.search(text, place):
        tail = _TAIL.match(text, match.end())
        number = _read(text, match, tail)
        last = found[-1] if found else None
        if last and _continues(last, number, text[last.end:match.start()]):
            factor = last.unit[1]
            found[-1] = Number(last.value + number.value * number.unit[1] / factor, last.start, tail.end(), last.noun)
        else:
            found.append(number)
        place = max(tail.end(), match.end())
    if not found:
        found = [Number(Fraction(_roman(m.group())), *m.span()) for m in _ROMAN_RUN.finditer(text)]
        if not found and not _FOREIGN_STARTS.isdisjoint(_LETTERS.findall(text.casefold())):
            found = [Number(Fraction(_FOREIGN[m.group().casefold()]), *m.span()) for m in _FOREIGN_WORD.finditer(text)]
    return found


@lru_cache(maxsize=1024)
def unit_name(written: str) -> str:
    """The name in `UNITS` of a unit as it is written, with or without its plural s; "" where it is none."""
    name = written.strip().casefold().replace("²", "2").replace("³", "3").rstrip(".")
    name = _LONG.get(name, name)
    singular = name[:-2] if name == "inches" else name[:-1]
    return name if name in UNITS else singular if name.endswith("s") and singular in UNITS else ""


def in_degrees(number: Number, scale: str) -> Number:
    """A temperature in degrees of the other scale, as one of `scale`; any other number as it is."""
    dimension = number.unit[0] if number.unit else ""
    if scale == "celsius" and dimension == "fahrenheit":
        return replace(number, value=(number.value - 32) * Fraction(5, 9), noun=scale)
    if scale == "fahrenheit" and dimension == "celsius":
        return replace(number, value=number.value * Fraction(9, 5) + 32, noun=scale)
    return number


def _read(text: str, match: re.Match, tail: re.Match) -> Number:
    digits = match.group().replace("−", "-")
    digits = re.sub(r"['\u202f\u00a0 ]", "", digits)
    if re.fullmatch(r"-?[1-9]\d{0,2}(,\d{2,3})*,\d{3}(\.\d+)?", digits):
        digits = digits.replace(",", "")
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    value = Fraction(digits.replace(",", ".")[:LONGEST])
    if tail["below"]:
        part = Fraction(int(tail["mixed"] or 0), int(tail["below"]))
        value = value + part if tail["mixed"] else value / int(tail["below"])
    scale = tail["scale"] or next((name for name in ("thousand", "million", "billion") if tail[name]), None)
    if scale:
        value *= _SCALES[scale.casefold()]
    after = _NEXT.match(text, tail.end())
    noun = ""
    if after:
        both = f"{after[1]} {after[2]}" if after[2] else ""
        noun = unit_name(both) or unit_name(after[1]) or after[1].casefold()
    if match.start() and text[match.start() - 1] in "$€£¥":
        noun = text[match.start() - 1]
    grouped = re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", match.group()) is not None
    return Number(value, match.start(), tail.end(), noun, grouped)


def _continues(last: Number, number: Number, between: str) -> bool:
    """Whether `number` goes on a compound measure: 1 hour and 30 minutes, 5 feet 3 inches."""
    return bool(last.unit and number.unit and last.unit[0] == number.unit[0] and number.unit[1] < last.unit[1]
                and re.fullmatch(r"[ -]?[a-zA-Z]+(?:,? and |,? )?", between))


def _from_words(match: re.Match) -> str:
    words, point = match.group().casefold(), match["point"]
    if words == "one" and not (_ONE.search(match.string[:match.start()][-20:])
                               and not match.string[match.end():].startswith((" of ", " moment"))):
        return match.group()
    whole = _JOINT.sub(" ", words.removesuffix(point.casefold()) if point else words)
    written = "".join(part if place % 2 else str(_value(re.split(r"[ -]", part)))
                      for place, part in enumerate(_APART.split(whole)))
    digits = "".join(str(_SMALL[w]) for w in point.casefold().split()[1:]) if point else ""
    return f"{written}.{digits}" if digits else written


def _value(words: list[str]) -> int:
    """Of "two hundred five thousand ten": 205010. Words that do not add up ("nine nine") follow as digits."""
    total = current = 0
    for word in words:
        if word in ("a", "an"):
            current = 1
        elif scale := _SCALES.get(word) or _SCALES.get(word.removesuffix("s")):
            if scale == 100:
                current = max(current, 1) * scale
            else:
                total, current = total + max(current, 1) * scale, 0
        else:
            value = _SMALL.get(word, _TENS.get(word, 0))
            fits = current % 100 == 0 or (current % 10 == 0 and current % 100 > 19 and value < 10)
            current = current + value if fits else int(f"{current}{value}"[:LONGEST])
    return total + current


def _from_power(match: re.Match) -> str:
    value = Fraction(match[1] or 1) * Fraction(10) ** int(match[2])
    return str(value.numerator) if value.denominator == 1 else f"{match[1] or 1}/{10 ** -int(match[2])}"


def _compound_ordinal(match: re.Match) -> str:
    """Of "twenty-first": 21st. A single word ("the second") may be no number, and stays."""
    if not match["tens"]:
        return match.group()
    return f"{_TENS[match['tens'].casefold()] + _NTH[match['nth'].casefold()]}th"


def _from_fraction(match: re.Match) -> str:
    written = match.group().casefold()
    if not match["above"] and not written.startswith(("a ", "an ", "half", "quarter")):
        return match.group()  # the third, the fifth: a place in a row
    return f"{match['above'] or 1}/{_PARTS[match['below'].casefold()]}"


def _chinese(run: str) -> int:
    """Positional (一三) or with tens (十三, 二百三十万)."""
    if not any(c in _CHINESE_TENS for c in run):
        return int("".join(str(_CHINESE[c]) for c in run[:LONGEST]))
    total = section = digit = 0
    for c in run:
        if c in _CHINESE:
            digit = _CHINESE[c]
        elif _CHINESE_TENS[c] < 10**4:
            section, digit = section + max(digit, 1) * _CHINESE_TENS[c], 0
        else:
            total, section, digit = (total + section + digit) * _CHINESE_TENS[c], 0, 0
    return total + section + digit


def _roman(run: str) -> int:
    values = [_ROMAN[c] for c in run]
    return sum(-v if v < following else v for v, following in zip(values, [*values[1:], 0], strict=True))
