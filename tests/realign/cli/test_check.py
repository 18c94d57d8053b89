from pathlib import Path

import pytest

from realign.cli import check
from realign.errors import UserError

ROOT = Path(__file__).parents[3]
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    """The project with other parameters."""
    def make(params):
        (tmp_path / "params.yaml").write_text(params)
        for room in ("realign", "stages"):
            (tmp_path / room).symlink_to(ROOT / room)
        return tmp_path

    return make


def test_every_section_is_found_with_its_type():
    found = check.sections(ROOT)
    assert found["srf.scorer"] is str
    assert found["srf.rl"].__name__ == "Rl" and found["srf.rl"].__module__ == "stages.srf.rl"
    assert found["demo.world"].__name__ == "World"


def test_the_parameters_of_the_project_are_well():
    assert "srf.rl" in check.check(ROOT)


@pytest.mark.parametrize("old, new, message", [
    ("kl_penalty:", "kl_penalti:", r"srf\.rl\.kl_penalti.*\n.*\n.*did you mean 'kl_penalty'"),
    ("\n  rl:", "\n  rll:", r"srf\.rll.*\n.*\n.*did you mean 'rl'"),
    ("\nsrf:", "\nspeed: 3\nsrf:", r"speed: unknown key"),
    ("  epochs: 2\n", "  epochs: two\n", r"srf\.sft\.epochs: found 'two'"),
    ("    attempts: 3\n", "", r"srf\.rl\.attempts: missing key"),
])
def test_one_message_for_a_mistake(project, old, new, message):
    assert old in PARAMS
    with pytest.raises(UserError, match=message):
        check.check(project(PARAMS.replace(old, new, 1)))
