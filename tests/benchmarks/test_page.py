"""Tables between their marks in a page."""

from benchmarks.page import marks, write


def test_a_table_replaces_what_stood_between_its_marks_and_nothing_else(tmp_path):
    page = tmp_path / "trust.md"
    write("old", page, "rates", "benchmarks.rates", "Rates")
    write("other", page, "faults", "benchmarks.faults", "Faults")
    page.write_text(page.read_text() + "\nafter\n")
    write("| new |", page, "rates", "benchmarks.rates", "Rates")
    text = page.read_text()
    assert "old" not in text and "\n\n| new |\n\n" in text and "other" in text and text.endswith("\nafter\n")
    assert all(text.count(mark) == 1 for name in ("rates", "faults") for mark in marks(name, f"benchmarks.{name}"))
