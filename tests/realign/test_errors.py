import errno
import os

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


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_that_the_system_refuses_is_a_message(number, capsys):
    with pytest.raises(SystemExit) as ended, spoken("srf sft"):
        raise OSError(number, os.strerror(number), "runs/srf/sft.running")
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith(f"srf sft: runs/srf/sft.running: {os.strerror(number).lower()}\n")
    assert "to do: change its owner or mode" in said


def test_any_other_fault_of_the_system_keeps_its_traceback():
    with pytest.raises(OSError, match="Input/output"), spoken():
        raise OSError(errno.EIO, os.strerror(errno.EIO), "x")
