from realign.models import progress


def test_a_log_gets_the_last_line_with_rate_and_figures(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 31.0, 50.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    show = progress.bar("sft")
    show(1, 100, {"loss": 3.0})  # too early for a line
    show(62, 100, {"loss": 2.5, "accuracy": 0.25, "grad_norm": 9.0})
    show(100, 100, {"loss": 2.0})
    first, last = capsys.readouterr().err.splitlines()
    assert first.split() == ["sft:", "62/100", "2.00", "steps/s", "19", "s", "left", "loss", "2.5", "accuracy", "0.25"]
    assert last.split() == ["sft:", "100/100", "2.00", "steps/s", "0", "s", "left", "loss", "2"]


def test_a_resumed_run_counts_its_own_steps_alone(capsys, monkeypatch):
    clock = iter([0.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    progress.bar("sft")(81, 161, {})
    assert "0.03 steps/s  3200 s left" in capsys.readouterr().err


def test_work_that_is_soon_done_shows_nothing(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 2.9, 100.0, 140.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    show = progress.bar("sampling", unit="responses", least=3.0)
    show(5, 10, {})
    show(10, 10, {})
    assert capsys.readouterr().err == ""
    progress.bar("sampling", unit="responses", least=3.0)(10, 10, {})
    assert "10/10  0.03 responses/s" in capsys.readouterr().err
