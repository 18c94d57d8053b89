"""The model card beside a checkpoint: README.md as the hub reads it, the same bytes for the same model."""

import json
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from realign.files import read_json
from realign.models import build

NAME = "README.md"
TEXT = """\
# {workflow} {stage}

Made from {base} by the stage `{stage}` of the workflow `{workflow}`. Licence: {licence}.

    from mlx_lm import load
    model, tokenizer = load("<this directory>")

    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained("<this directory>")

Ask it by its chat template (`tokenizer.apply_chat_template`); `generation_config.json` has the tokens that end a turn.
"""


def write(folder: Path, start: str, workflow: str, stage: str) -> None:
    """Write the card of a model that a stage made from `start`, a model directory or hub id, whose own card tells the
    base and the licence that are handed on."""
    told = _told(Path(start) / NAME)
    if "made_from" in told:  # a checkpoint of ours, which tells what it was made from
        base = told["made_from"]
    elif Path(start).is_dir():
        kind = read_json(Path(start) / "config.json")["model_type"]
        base = f"a local {kind} model, content {build.fingerprint(start)[:12]}"
    else:
        base = start
    licence = told.get("license")
    head = {"library_name": "transformers", "made_from": base, "pipeline_tag": "text-generation"}
    head |= {"license": licence} if licence else {}
    head |= {"base_model": base} if "/" in base else {}
    text = TEXT.format(workflow=workflow, stage=stage, base=base,
                       licence=f"{licence}, as that of the base" if licence else "the base's, not known here")
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in sorted(head.items()))
    (folder / NAME).write_text(f"---\n{lines}---\n{text}", encoding="utf-8")


def _told(path: Path) -> dict:
    """The settings at the head of a card; none where there is no card, or one without."""
    parts = path.read_text(encoding="utf-8", errors="replace").split("---\n") if path.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        found = YAML(typ="safe").load(parts[1])
    except YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
