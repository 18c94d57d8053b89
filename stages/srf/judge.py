"""The scorer of responses that `srf.scorer` names."""

from realign import params
from realign.evaluate import scorers
from stages import watched


def scorer() -> scorers.Scorer:
    """The scorer. UserError for a name that is none, and for a reward model's directory that DVC does not watch."""
    name, files = params.load("srf.scorer", str), params.load("srf.scorer_files", str)
    if name.startswith(scorers.REWARD):
        watched.require(name.removeprefix(scorers.REWARD), files, ("srf.scorer", name), "srf.scorer_files")
    return scorers.scorer(name)
