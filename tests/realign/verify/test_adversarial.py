"""The verifier on adversarial answers: by kind on both sets of rows, and on answers made from random values."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import verifier
from benchmarks.verifier import SETS, false_positives, judged, reference, rows
from realign.verify import claims
from realign.verify.form import normal
from realign.verify.numbers import in_digits, numbers
from realign.verify.reference import Reference, verify, written

KINDS = {"denial_before", "denial_after", "hedge", "range", "bound", "candidates", "number_words", "scripts",
"decimals",
         "units", "refusal_right", "refusal_of_answerable", "refusal_words_in_right", "quoting", "retraction",
         "citation"}
CITY = st.sampled_from(["Lima", "Quito", "Accra", "Oslo", "Hanoi", "Dakar", "Sofia", "Riga", "Minsk", "Kyiv"])
AFFIRMATIONS = ["{v}", "It is {v}.", "The capital is {v}.", "{v}, without any doubt.", "The answer is {v}.", "**{v}**",
                "It is {v}, not {w}.", "Not {w} but {v}.", "Some say {w}. That is wrong: it is {v}.", "{w}? No, {v}.",
                "I first thought {w}, but it is {v}."]
DENIALS = ["{v} is wrong.", "It is not {v}.", "It isn't {v}; it is {w}.", "Everyone thinks {v}. It is {w}.", "{w},"
" not {v}.",
           "{v}? No.", "{w} rather than {v}.", "It is anything but {v}.", "{v} was ruled out.", "It cannot be {v}."]
OPEN = ["{v} or {w}", "Either {w} or {v}.", "{w}, {v}", "It is {v}. It is {w}.", "Maybe {v}.", "It might be {v}.",
        "I doubt that it is {v}.", "{v} / {w}", "One of {v} and {w}."]


def test_enough_rows_of_every_kind_were_written():
    written_by = {part: rows(part) for part in SETS}
    assert all(len(found) >= 100 for found in written_by.values())
    assert {row["kind"] for row in written_by["author's"]} >= KINDS
    assert all({row["label"] for row in found} == {"right", "wrong", "undecided"} for found in written_by.values())


@pytest.fixture(scope="module")
def found():
    return judged()


def of(found, *parts):
    return [each for each in found if each.part in parts]


def test_nineteen_rows_of_twenty_get_the_credit_that_they_deserve(found):
    """Right or not right, of all sets."""
    assert sum((each.outcome == "right") == (each.label == "right") for each in found) >= 0.95 * len(found)
    assert false_positives(found).value <= 0.05


@pytest.mark.parametrize("part", ["author's", "blind", "kinds", "worked"])
def test_nineteen_of_twenty_get_their_outcome_of_three(part, found):
    assert verifier.agreement(of(found, part)).value >= 0.95


def test_nineteen_of_twenty_of_the_first_two_sets_together(found):
    assert verifier.agreement(of(found, "author's", "blind")).value >= 0.95


def test_rows_that_made_no_rule_are_judged_rightly_nine_times_of_ten(found):
    """Where the next answers will be: docs/trust.md has the figure with its interval."""
    assert verifier.agreement(of(found, *verifier.FRESH)).value >= 0.9


@pytest.mark.xfail(strict=True, reason="such rows fall short of it (docs/trust.md)")
def test_nineteen_of_twenty_rows_that_made_no_rule_are_judged_rightly(found):
    assert verifier.agreement(of(found, *verifier.FRESH)).value >= 0.95


def test_the_short_cut_changes_no_judgement(found, monkeypatch):
    monkeypatch.setattr(claims, "is_plain", lambda text: False)
    assert judged() == found


def test_the_table_has_a_line_for_each_kind(found):
    page = verifier.table(found)
    assert all(f"| {part} | {row['kind']} |" in page for part in SETS for row in rows(part))
    assert page.splitlines()[-1].startswith("| all | **all** | 0.9")


@given(CITY, CITY, st.sampled_from(AFFIRMATIONS), st.booleans())
def test_an_affirmation_is_right(v, w, template, rivals):
    if v != w:
        right, why = verify(Reference(answer=v, rivals=(w,) if rivals else ()), template.format(v=v, w=w))
        assert right, (template, why)


@given(CITY, CITY, st.sampled_from(DENIALS), st.booleans())
def test_a_denial_is_wrong(v, w, template, rivals):
    if v != w:
        right, why = verify(Reference(answer=v, rivals=(w,) if rivals else ()), template.format(v=v, w=w))
        assert right is False, (template, why)


@given(CITY, CITY, st.sampled_from(OPEN), st.booleans())
def test_a_list_or_a_hedge_is_undecided(v, w, template, rivals):
    if v != w:
        right, why = verify(Reference(answer=v, rivals=(w,) if rivals else ()), template.format(v=v, w=w))
        assert right is None, (template, why)


@given(st.integers(2, 10**6), st.integers(1, 50))
def test_only_an_exact_number_is_right(n, d):
    wanted = Reference(number=n)
    for text in (f"{n}", f"It is {n:,}.", f"{n}.0", f"{n - d} + {d} = {n}", f"{n}, not {n + d}.",
                 f"It is {n} (in {d} boxes)."):
        assert verify(wanted, text)[0] is True, text
    for text in (f"about {n}", f"{n} or {n + d}", f"between {n - d} and {n + d}", f"at least {n}",
                 f"{n - d} to {n + d}"):
        assert verify(wanted, text)[0] is None, text
    for text in (f"{n}.5", f"more than {n}", f"less than {n}", f"It is not {n}.", f"{n} is wrong.", f"about {n + d}",
                 f"-{n}"):
        assert verify(wanted, text)[0] is False, text


ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(n: int) -> str:
    """English, written another way than it is read."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= size:
            rest = n % size
            joint = " and " if rest and rest < 100 else " "
            return f"{in_words(n // size)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")
    raise AssertionError(n)


@given(st.integers(2, 10**9 - 1), st.sampled_from([0x660, 0x966, 0xFF10, 0x9E6, 0xE50]))
def test_numbers_are_read_in_words_and_in_other_scripts(n, zero):
    digits = "".join(chr(zero + int(d)) for d in str(n))
    for text in (in_words(n), digits, f"{n:,}", f"{n:_}".replace("_", " ")):
        assert [found.value for found in numbers(in_digits(text))] == [n], text


@pytest.mark.parametrize(("text", "value"), [
    ("½", Fraction(1, 2)), ("two and a half", Fraction(5, 2)), ("three quarters", Fraction(3, 4)),
    ("十三", 13), ("二百三十万", 2300000),
    ("XIV", 14), ("2.35 million", 2350000), ("minus five", -5), ("three point one four", Fraction(157, 50)),
    ("treize", 13), ("ventisette", 27), ("veintisiete", 27), ("siebenundzwanzig", 27), ("vinte e sete", 27),
    ("quatre-vingt-dix-sept", 97), ("trente-six", 36), ("two dozen and one", 25), ("half a dozen", 6),
    ("the twenty-first floor", 21), ("12 degrees below zero", -12), ("3.2 x 10^4", 32000), ("10⁶", 10**6),
    ("twenty oh five", 2005), ("2½", Fraction(5, 2)), ("2M", 2 * 10**6), ("0,125", Fraction(1, 8)),
    ("an hour and fifteen minutes", Fraction(5, 4)),
    ("1 hour 30 minutes", Fraction(3, 2)), ("9" * 9000, int("9" * 400))])
def test_numbers_of_other_forms(text, value):
    assert [found.value for found in numbers(in_digits(normal(text)))] == [value]


@pytest.mark.parametrize(("reference", "text"), [
    ('{"answer": "salt", "citation": 2, "rivals": ["a"]}', "salt [2]"), ('{"number": 12500}', "12,500"), ("{}", ""),
    ('{"number": 5, "unit": "km"}', "5 km"), ('{"refuse": true}', "nothing to know: only a refusal is right"),
    ('{"exact": "- Lima"}', "- Lima"), ("Lima, of course", "Lima, of course")])
def test_a_reference_is_shown_as_a_person_would_write_it(reference, text):
    assert written(reference) == text


def test_a_row_is_read_as_its_own_reference():
    row = {"question": "How far is the mill, in km?", "reference": {"number": 5, "unit": "km"}}
    assert reference(row) == Reference(number=5, unit="km", subject=("mill", "km"))
