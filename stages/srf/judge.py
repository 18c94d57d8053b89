"""The scorer of responses that `srf.scorer` names."""

from realign import params
from realign.evaluate import scorers
from stages import watched
from stages.srf import source


def scorer() -> scorers.Scorer:
    """The scorer. UserError for a name that is none, and for a reward model's directory that DVC does not watch."""
    name, files = params.load("srf.scorer", str), params.load("srf.scorer_files", str)
    if name.startswith(scorers.REWARD):
        watched.require(name.removeprefix(scorers.REWARD), files, ("srf.scorer", name), "srf.scorer_files")
    return scorers.scorer(name)


def verifier(data: source.Data) -> scorers.Scorer | None:
    """The scorer, where it can be held against a policy's reward: never the reward model trained here, which DVC would
    call a cycle. None for labelled pairs without a reward model of their own: they have no reference answers."""
    if source.is_world(data) or params.load("srf.scorer", str).startswith(scorers.REWARD):
        return scorer()
    return None
