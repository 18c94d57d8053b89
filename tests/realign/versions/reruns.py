"""Stages that seem to have run again."""

import yaml


def rerun(root, stage: str) -> None:
    """As if this stage alone had run again and made another model."""
    lock = root / "stages/srf/dvc.lock"
    found = yaml.safe_load(lock.read_text())
    out = next(o for o in found["stages"][stage]["outs"] if o["path"] == f"checkpoints/srf/{stage}")
    out["md5"] = "0" * 32 + ".dir"
    lock.write_text(yaml.safe_dump(found))
