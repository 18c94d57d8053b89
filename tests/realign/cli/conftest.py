"""A small project, with the stages, dvc.yaml files and params.yaml that `realign check` looks at."""

import importlib
import sys
import textwrap

import pytest

DVC = {"dvc.yaml": """
    stages:
      world: {cmd: python -m stages demo world, params: [demo.world]}
      baseline: {cmd: python -m stages demo baseline, params: [model]}
      report:
        foreach: [srf, dpo]
        do: {cmd: "python -m realign.report ${item}", params: [model, "${item}"]}
""", "stages/srf/dvc.yaml": """
    vars: [../../params.yaml]
    stages:
      sft: {wdir: ../.., cmd: python -m stages srf sft, params: [model, srf.data, common.sft, srf.sft]}
      rl: {wdir: ../.., cmd: python -m stages srf rl, params: [srf.data, srf.scorer, srf.rl]}
      iterate: {wdir: ../.., cmd: python -m stages srf iterate, params: [srf.rl.seed, params.yaml: [srf.reward_model]]}
      gate:
        foreach: {sft: a.json}
        do: {wdir: ../.., cmd: "python -m realign.gates srf ${key}"}
""", "stages/dpo/dvc.yaml": """
    stages:
      sft:
        foreach: {dpo: {base: sft}}
        do:
          cmd: ["python -m stages ${key} ${item.base}"]
          params: ["${key}.${item.base}", "common.${item.base}"]
"""}
MODULES = {"demo/world": """
    from realign.params import Count, Positive

    @dataclass(frozen=True)
    class World:
        seed: Count
        train: Positive
""", "demo/baseline": """
    from stages.common.data import ModelKnobs
""", "srf/sft": """
    from stages.common.sft import Sft, run
""", "srf/rl": """
    from typing import Protocol

    from realign.params import Count, Rate, Share
    from stages.common.data import Data

    class Scorer(Protocol):
        def __call__(self) -> float: ...

    @dataclass(frozen=True, kw_only=True)
    class Policy:
        learning_rate: Rate
        \"\"\"Peak of AdamW's learning rate,
        a step.\"\"\"
        clip: Share = 0.2
        \"\"\"How far a ratio may leave 1.\"\"\"

    @dataclass(frozen=True, kw_only=True)
    class Limits:
        attempts: Count
        \"\"\"Runs, the first included.\"\"\"

    @dataclass(frozen=True, kw_only=True)
    class Rl(Policy, Limits):
        seed: Count
        clip: Share = 0.3
        \"\"\"The surrogate's clip range.\"\"\"
""", "srf/iterate": """
    from realign.params import Positive

    @dataclass(frozen=True)
    class RewardModel:
        epochs: Positive
""", "dpo/sft": """
    from stages.common.sft import run
""", "common/data": """
    from typing import Literal

    from realign.params import Share

    Scorer = Literal["reference", "judge"]

    @dataclass(frozen=True)
    class ModelKnobs:
        base: str

    @dataclass(frozen=True)
    class Data:
        low: Share
        high: Share

        def __post_init__(self):
            if self.low > self.high:
                raise ValueError("low is above high")
""", "common/sft": """
    from realign.params import Count, Positive, Rate

    @dataclass(frozen=True)
    class Method:
        rank: Positive = 8
        \"\"\"Rank of the adapters.\"\"\"
        layers: tuple[str, ...] | None = None

    @dataclass(frozen=True)
    class Sft:
        epochs: Positive
        \"\"\"Passes over the chats.\"\"\"
        learning_rate: Rate
        seed: Count
        method: Method = Method(rank=4)

    def run():
        return "trained"
"""}
PARAMS = """\
demo:
  world: {seed: 0, train: 5}

model:
  base: data/base  # directory or hub id

common:
  sft:
    epochs: 2  # passes
    learning_rate: 1e-3  # AdamW
      # Kingma 2015
    # (the next one)
    method: {layers: [a, b]}  # mlx-lm

srf:
  data: {low: 0, high: 1.0}
  scorer: reference  # by the answer
  sft:
    epochs: 3  # more
    seed: 1
  rl:
    learning_rate: 0.0001  # DESIGN 1e-6 for a large model; ours: the demo's is small,
      # and seven million parameters
      # take more
    attempts: 3
    seed: 0
  reward_model: {epochs: 1}

dpo:
  sft: {seed: 2}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`project((file, old, new), ...)`: the root of the project, with these changes; `stages` is its own alone."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "stages"}
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)

    def make(*changes):
        files = {"params.yaml": PARAMS, **{name: textwrap.dedent(text) for name, text in DVC.items()}}
        for name, text in MODULES.items():
            files[f"stages/{name}.py"] = "from dataclasses import dataclass\n" + textwrap.dedent(text)
            files[f"stages/{name.split('/')[0]}/__init__.py"] = files["stages/__init__.py"] = ""
        for file, old, new in changes:
            assert files[file].count(old) == 1, old
            files[file] = files[file].replace(old, new)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        return tmp_path

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        del sys.modules[name]
    sys.modules.update(ours)
