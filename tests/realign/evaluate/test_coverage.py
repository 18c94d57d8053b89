"""Coverage and gaps by hand: a cell without rows, without answers, or that the base never answers, is not covered."""

from realign.evaluate.coverage import coverage, gaps


def rows(cell, n, score=1.0):
    return [{"example_id": f"{cell}{i}", "row_id": f"{cell}{i}", "capability": cell.partition("/")[0],
             "slice": cell.partition("/")[2], "score": score} for i in range(n)]


DECLARED = rows("a/x", 60) + rows("a/y", 100) + rows("b/x", 80) + rows("b/few", 30) + rows("b/rare", 35)


def test_everything_answered_is_covered_small_slices_together():
    found = coverage(DECLARED, DECLARED, DECLARED)
    assert (found.value, found.n) == (1.0, 4)


def test_each_way_of_not_being_covered():
    assert coverage(DECLARED[1:], DECLARED, DECLARED).value == 3 / 4  # 59 of a/x: `other`, too few to judge
    assert coverage(DECLARED, DECLARED, DECLARED[1:]).value == 3 / 4  # one answer missing
    assert coverage(DECLARED, DECLARED[1:], DECLARED).value == 3 / 4  # one answer of the base missing
    never = rows("a/x", 60, 0.0) + DECLARED[60:]
    assert coverage(DECLARED, never, DECLARED).value == 3 / 4
    assert coverage(rows("a/x", 10), rows("a/x", 10), rows("a/x", 10)).value == 0


def test_gaps_are_what_lies_below_the_target():
    base = rows("a/x", 100) + rows("a/y", 100, 0.0) + rows("b/x", 92) + rows("b/z", 40, 0.0)
    base[200 + 91]["score"] = 0.0
    found = gaps(base)
    assert {name: round(m.value, 3) for name, m in found.items()} == {"a": 0.5, "a/y": 0.0, "b": 0.689}
    assert gaps(rows("a/x", 100)) == {}
