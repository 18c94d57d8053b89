"""At least a hundred planted faults, each refused by the guard that is meant for it; and the page that counts them."""

import re
from pathlib import Path

import pytest

from benchmarks import faults as page
from tests.trust.faults import FAULTS, caught, said

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return said(tmp_path_factory.mktemp("faults"))


def marked(fault):
    marks = [pytest.mark.xfail(strict=True, reason=fault.missed)] if fault.missed else []
    return pytest.param(fault, id=f"{fault.kind}: {fault.name}", marks=marks)


@pytest.mark.parametrize("fault", [marked(fault) for fault in FAULTS])
def test_a_planted_fault_is_caught_by_the_guard_that_is_meant_for_it(fault, told):
    assert caught(fault, told), f"{fault.meant} said {told[fault.kind, fault.name]!r}, not {fault.says!r}"


def test_at_least_a_hundred_are_caught_and_no_fault_counts_twice():
    assert len([fault for fault in FAULTS if not fault.missed]) >= 100
    assert len({(fault.kind, fault.name) for fault in FAULTS}) == len(FAULTS)


def test_the_page_names_the_same_faults():
    """Whoever adds one runs the command again: python -m benchmarks.faults."""
    text = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- faults: python -m benchmarks.faults -->")
    table, end, _ = rest.partition("<!-- /faults -->")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| (yes|\*\*no\*\*) \|", table, re.MULTILINE)
    assert end and rows == [(f.kind, f.name, f.meant, "**no**" if f.missed else "yes") for f in FAULTS]


def test_the_table_tells_what_was_not_caught():
    first, *others = FAULTS
    told = {(fault.kind, fault.name): fault.says for fault in others} | {(first.kind, first.name): ""}
    head, *_ = page.table(told).splitlines()
    assert head.startswith(f"{len(others)} of {len(FAULTS)} planted faults are caught")
    assert f"| {first.kind} | {first.name} | {first.meant} | **no** | nothing was said" in page.table(told)
