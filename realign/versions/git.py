"""Git revisions and DVC experiments, resolved and read without touching the work tree."""

import subprocess
from difflib import get_close_matches
from pathlib import Path

from realign.errors import UserError

INTERNAL = ("exec", "stash", "celery", "temp")  # what DVC keeps beside experiments under refs/exps


def git(root: Path, *arguments: str) -> str:
    """Standard output of a git command in `root`; UserError with git's own message where it fails."""
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(done.stderr.strip() or f"exit {done.returncode}", where=f"git {arguments[0]}")
    return done.stdout


def experiments(root: Path) -> dict[str, list[str]]:
    """Name of every DVC experiment, with the commits it stands for (one name may recur on several bases).

    DVC keeps an experiment at refs/exps/<2 digits of its base>/<the other 38>/<name>.
    """
    found: dict[str, list[str]] = {}
    for line in git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        commit, ref = line.split(" ", 1)
        parts = ref.split("/", 4)
        if len(parts) == 5 and parts[2] not in INTERNAL:
            found.setdefault(parts[4], []).append(commit)
    return found


def resolve(root: Path, name: str) -> str:
    """Full commit hash of a revision, tag, branch or experiment; git's meaning comes first, as in DVC."""
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options",
         f"{name}^{{commit}}"],
        capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    known = experiments(root)
    commits = sorted(set(known.get(name, [])))
    if len(commits) == 1:
        return commits[0]
    if commits:
        raise UserError(f"{len(commits)} experiments have this name", where=name,
                        fix="name the commit: " + ", ".join(c[:10] for c in commits))
    raise _unknown(root, name, list(known))


def _unknown(root: Path, name: str, known: list[str]) -> UserError:
    refs = git(root, "for-each-ref", "--format=%(refname:short)", "refs/tags", "refs/heads").split()
    close = get_close_matches(name, [*refs, *known, "workspace", "released", "HEAD"], n=3)
    return UserError(
        "no such revision, tag, branch or experiment", where=name,
        expected="`workspace`, `released`, what `git rev-parse` knows, or a name from `dvc exp list -A`",
        fix=f"did you mean {' or '.join(close)}?" if close else "see `git tag`, `git log` and `dvc exp list`")
