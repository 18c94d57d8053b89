"""Every metric that the repository holds has a kind, and lies within its range."""

from pathlib import Path

import pytest

from realign.errors import UserError
from realign.gates.frames import read_metrics
from realign.kinds import declared, kind_of

FILES = sorted((Path(__file__).parents[2] / "metrics").glob("*/*.json"))
METRICS = {f"{path.parent.name}/{path.stem}: {name}": (name, parts["value"])
           for path in FILES for name, parts in read_metrics(path).items()}


def test_there_are_metrics_to_look_at():
    assert len(METRICS) > 80


@pytest.mark.parametrize(("name", "value"), METRICS.values(), ids=METRICS)
def test_every_metric_has_a_kind_and_is_possible(name, value):
    kind = declared(name)
    assert kind is not None, f"declare {name} in realign/kinds.py"
    assert kind.low is None or value >= kind.low
    assert kind.high is None or value <= kind.high


def test_a_metric_without_a_kind_is_told_where_to_declare_it():
    with pytest.raises(UserError, match=r"did you mean 'entropy'\? If not, declare it .* realign/kinds\.py") as error:
        kind_of("entropi", "expectations/srf/rl.json")
    assert str(error.value).startswith("expectations/srf/rl.json: 'entropi'")
    with pytest.raises(UserError, match=r"to do: declare it"):
        kind_of("xyz.abc", "here")
