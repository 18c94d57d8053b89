import pytest

from realign.errors import UserError, spoken


def test_a_fault_of_the_user_is_said_and_ends_the_program(capsys):
    with pytest.raises(SystemExit) as ended, spoken("srf rl"):
        raise UserError("too small", where="params.yaml", expected="1 or more", fix="raise it")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "srf rl: params.yaml: too small\n  expected: 1 or more\n  to do: raise it\n"


def test_a_fault_of_ours_is_not_swallowed():
    with pytest.raises(ZeroDivisionError), spoken():
        _ = 1 / 0
