"""A small project on which every stage of SRF really runs: a small world, few steps, the shipped base."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[3]
STAGES = ("sft", "preference_data", "reward_model", "reward_validation", "rl", "iterate", "evaluate")
OUTPUTS = {
    "sft": ("data/srf/sft", "checkpoints/srf/sft", "metrics/srf/sft.json", "metrics/srf/plots/sft.json"),
    "preference_data": ("data/srf/preference_data", "metrics/srf/preference_data.json"),
    "reward_model": ("checkpoints/srf/reward_model", "metrics/srf/reward_model.json"),
    "reward_validation": ("metrics/srf/reward_validation.json",),
    "rl": ("checkpoints/srf/rl", "metrics/srf/rl.json", "metrics/srf/plots/rl.json"),
    "iterate": ("checkpoints/srf/iterate", "checkpoints/srf/iterate_reward_model", "metrics/srf/iterate.json"),
    "evaluate": ("data/srf/evaluate", "metrics/srf/evaluate.json"),
}
SMALL = {
    "demo.world": {"train": 100, "validation": 8, "prompts": 40, "test": 4, "development": 4, "evaluation": 4,
                   "sealed": 4},
    "srf.sft": {"epochs": 1, "evaluate_every": 20, "checkpoint_every": 8},
    "srf.preference_data": {"prompts": 60, "temperatures": [0.7, 1.0, 1.3], "max_tokens": 32},
    "srf.reward_model": {"epochs": 1, "batch_size": 8, "evaluate_every": 4, "checkpoint_every": 2},
    "srf.reward_validation": {"prompts": 20, "max_tokens": 32},
    "srf.rl": {"rollouts": 6, "prompts_per_rollout": 8, "minibatch": 4, "epochs": 1, "max_tokens": 16,
               "heldout_prompts": 8, "attempts": 2, "kl_limit": 10.0, "entropy_low": 0.0, "entropy_high": 20.0,
               "verify_every": 2, "verify_prompts": 8, "gaming_fall": 1.0},
    "srf.iterate": {"rounds": 2, "prompts": 20, "rollouts": 2, "least_gain": -1.0},
    "srf.evaluate": {"prompts": 8, "max_tokens": 16},
}


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}


def run(project: Path, module: str) -> subprocess.CompletedProcess:
    """One stage as DVC runs it."""
    return subprocess.run([sys.executable, "-m", module], cwd=project, env=environment(), capture_output=True,
                          text=True)


def set_params(project: Path, changes: dict[str, dict]) -> None:
    yaml = YAML()
    tree = yaml.load(project / "params.yaml")
    for section, values in changes.items():
        node = tree
        for key in section.split("."):
            node = node[key]
        node.update(values)
    yaml.dump(tree, project / "params.yaml")


def hashes(project: Path, stage: str) -> dict[str, str]:
    """SHA-256 of every output file of a stage."""
    files = [f for out in OUTPUTS[stage] for f in
             (sorted((project / out).rglob("*")) if (project / out).is_dir() else [project / out])]
    return {str(f.relative_to(project)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}
