"""What a person sees in the terminal."""

import io

from rich.console import Console

from realign.gates.show import brief, show


def check(**changes) -> dict:
    return {"metric": "kl", "observed": 0.04, "low": 0.02, "high": 0.06, "n": 400, "expectation": "x",
            "threshold": "≤ 0.1", "severity": "critical", "passed": True, "evidence": False} | changes


def shown(*checks: dict, how=show, tier: str = "REJECT") -> list[str]:
    console = Console(file=io.StringIO(), width=110)
    how({"workflow": "srf", "stage": "rl", "tier": tier, "checks": list(checks), "remedy": ""}, console)
    return console.file.getvalue().splitlines()


def test_every_check_stands_with_figure_interval_evidence_threshold_and_outcome():
    nothing = check(metric="pairs[a, b]", passed=False, observed=None, low=None, high=None)
    title, _, *rows = shown(check(), nothing, check(severity="warning", passed=False),
                            check(severity="info", passed=False))
    assert title.strip() == "srf/rl: REJECT"
    assert [row.split() for row in rows] == [
        ["kl", "0.0400", "0.0200", "to", "0.0600", "400", "≤", "0.1", "ok"],
        ["pairs[a,", "b]", "–", "400", "≤", "0.1", "REJECT"],
        ["kl", "0.0400", "0.0200", "to", "0.0600", "400", "≤", "0.1", "warning"],
        ["kl", "0.0400", "0.0200", "to", "0.0600", "400", "≤", "0.1", "note"]]


def test_evidence_is_counted_where_it_passed_and_told_where_it_did_not():
    lines = shown(check(), check(metric="kl.n", evidence=True), check(metric="kl.high", evidence=True),
                  check(metric="entropy.n", evidence=True, passed=False))
    assert [line.split()[0] for line in lines[2:]] == ["kl", "entropy.n", "and"]
    assert lines[-1].startswith("and 2 checks of the evidence passed")


def test_in_a_run_a_gate_that_is_all_well_is_one_line_and_any_other_tells_what_failed():
    [line] = shown(check(), check(metric="kl.n", evidence=True), how=brief, tier="HIGH")
    assert line == "srf/rl: HIGH (2 checks passed; all of them: realign gate srf rl)"
    title, head, *rows = shown(check(), check(metric="entropy", passed=False),
                               check(metric="kl.n", evidence=True, passed=False), how=brief)
    assert title == "srf/rl: REJECT (1 check passed; all of them: realign gate srf rl)" and "must be" in head
    assert [row.split()[0] for row in rows] == ["entropy", "kl.n"]
