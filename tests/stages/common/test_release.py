"""What `realign release` says to commit."""

import shlex
import subprocess
from pathlib import Path

from stages.common.release import keep

ROOT = Path(__file__).parents[3]


def test_what_is_said_to_be_kept_is_all_that_a_later_trace_needs(tmp_path):
    """The command is run as it is printed, in a project that has just released."""
    made = ["dvc.lock", "stages/srf/dvc.lock", "metrics/srf.json", "metrics/srf/gates/rl.json", "verdicts/srf.json",
            "params.yaml", "released/srf/pointer.json", "released/srf/openings.jsonl", "released/srf/model/1.dvc",
            "released/srf/records/1.parquet"]
    for path in [*made, "released/srf/model/1/model.safetensors", ".gitignore"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text(encoding="utf-8"))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    added, _, committed = keep("srf").partition(" && ")
    subprocess.run(shlex.split(added), cwd=tmp_path, check=True)
    found = subprocess.run(["git", "diff", "--cached", "--name-only"], cwd=tmp_path, check=True, text=True,
                           capture_output=True).stdout.split()
    assert sorted(found) == sorted(made) and committed == "git commit"
