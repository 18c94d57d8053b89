"""What somebody else than the pipeline does to a candidate, in the current directory."""

import json
from pathlib import Path


def frozen() -> None:
    path = Path("stages/srf/dvc.yaml")
    path.write_text(path.read_text().replace('    desc: "pairs.', '    frozen: true\n    desc: "pairs.'))


def lock(**stages: dict) -> None:
    Path("stages/srf/dvc.lock").write_text(json.dumps({"stages": {
        name: {"cmd": "x", **{kind: [{"path": path, "md5": md5} for path, md5 in found.items()]
                              for kind, found in entry.items()}} for name, entry in stages.items()}}))


def alone() -> None:
    lock(sft={"outs": {"checkpoints/srf/sft": "new.dir"}}, evaluate={"deps": {"checkpoints/srf/sft": "old.dir"}})


def recommitted() -> None:
    lock(sft={"outs": {"checkpoints/srf/sft": "edited.dir"}})
    Path("metrics/srf/sft.json").write_text(json.dumps({"of": {"checkpoints/srf/sft": "made.dir"}}))


def judged_otherwise() -> None:
    path = Path("metrics/srf/gates/sft.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"of": {"expectations/srf/sft.json": "old"}}))
