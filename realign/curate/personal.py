"""Personal data in text: found by kind, and hidden before a text is kept for a log."""

import ipaddress
import re

_PATTERNS = {
    "email": re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}\.[a-z]{2,24}\b", re.I),
    "ssn": re.compile(r"\b(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}\b"),
    "card": re.compile(r"(?<![\d.+-])[2-6](?:[ -]?\d){12,18}(?![\d.]\d|\d)"),
    "ip": re.compile(
        r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:]|\.\d)", re.I),
    "phone": re.compile(
        r"(?<![\w+])\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?!\d)"  # +44 20 7946 0958
        r"|(?<![\w.-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w-]|\.\d)"),  # (212) 555-7890
}
# Issuer prefix and length of the card networks (ISO/IEC 7812 number ranges in use).
_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14}")

# What every match of a pattern above holds, for polars: most texts hold none of it, and need no second look. A digit
# here is one in any version of Unicode.
_DIGIT = r"[\d\P{age:14.0}]"
SUSPECT = "|".join(part.replace("#", _DIGIT) for part in (
    r"\S@\S", "###-##-####", "[2-6](?:[ -]?#){12}", r"#(?:\.#{1,3}){3}", "(?i::[0-9a-f]{0,4}:)",
    r"\+#{1,3}(?:[ .-]?\(?#{1,4}\)?){2}", r"(?:\(###\) ?|###[.-])###[.-]####"))


def personal_data(text: str) -> list[str]:
    """The kinds of personal data in `text`, in a fixed order: email, ssn, card, ip, phone.

    A card number must belong to a network and satisfy Luhn's check (ISO/IEC 7812-1), an address
    must be a public one, a phone number must have 8 to 15 digits (ITU-T E.164) or be written as
    the North American ones are.
    """
    return [kind for kind, pattern in _PATTERNS.items()
            if any(_real(kind, m.group()) for m in pattern.finditer(text))]


def redact(text: str) -> str:
    """`text` with every piece of personal data replaced by its kind, as in `[email]`."""
    for kind, pattern in _PATTERNS.items():
        text = pattern.sub(lambda m, k=kind: f"[{k}]" if _real(k, m.group()) else m.group(), text)
    return text


def _real(kind: str, match: str) -> bool:
    digits = re.sub(r"\D", "", match)
    if kind == "card":
        return _ISSUERS.fullmatch(digits) is not None and luhn(digits)
    if kind == "phone":
        return 8 <= len(digits) <= 15
    if kind == "ip":
        try:
            return ipaddress.ip_address(match).is_global
        except ValueError:
            return False
    return True


def luhn(digits: str) -> bool:
    """Whether a string of digits satisfies Luhn's check (ISO/IEC 7812-1, annex B)."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
