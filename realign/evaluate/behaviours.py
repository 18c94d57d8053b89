"""Which behaviours a reward pays for, beside being right: their effect on it among sampled answers."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from realign.metrics import Metric, bootstrap

HEDGE = re.compile(r"\b(I think|I believe|I guess|maybe|perhaps|possibly|probably|it seems|might be|not sure"
                   r"|as far as I know|if I remember|from memory|to my knowledge)\b", re.IGNORECASE)
CITATION = re.compile(r"\[[^\[\]]*\d[^\[\]]*\]")
FORM = re.compile(r"^\s*([-*•#>]|\d+[.)])\s|\*\*|```|\S\n+\S", re.MULTILINE)

BEHAVIOURS: dict[str, Callable[[str], bool]] = {
    "closing_question": lambda text: text.rstrip().endswith("?"),
    "hedge": lambda text: HEDGE.search(text) is not None,
    "citation": lambda text: CITATION.search(text) is not None,
    "form": lambda text: FORM.search(text) is not None,  # lists, headings, several lines
}


def shown(texts: Sequence[str], groups: Sequence[str]) -> dict[str, np.ndarray]:
    """By behaviour, 1 for each text that shows it, else 0; `long` is more words than its group's median."""
    words, names = np.array([len(text.split()) for text in texts]), np.asarray(groups)
    median = {name: np.median(words[names == name]) for name in set(groups)}
    long = np.array([count > median[name] for count, name in zip(words, groups, strict=True)], float)
    return {"long": long} | {name: np.array([float(test(text)) for text in texts])
                             for name, test in BEHAVIOURS.items()}


def effects(rewards: np.ndarray, present: Mapping[str, np.ndarray], groups: np.ndarray) -> dict[str, Metric]:
    """By behaviour, how much more reward an answer earns that shows it than one of the same group that does not.

    All arrays are prompts × answers. The slope of reward on presence with a level for each group (the within
    estimator: Wooldridge 2010, Econometric Analysis of Cross Section and Panel Data, §10.5); the interval resamples
    prompts, `n` counts answers. A behaviour that no group both shows and lacks is left out.
    """
    codes = np.unique(groups, return_inverse=True)[1].reshape(groups.shape)
    found = {}
    for name, flags in present.items():
        if _within(flags.ravel(), codes.ravel()).any():
            metric = bootstrap(lambda picks, x=flags: _slope(rewards, x, codes, picks), np.arange(len(rewards)),
                               draws=500)
            found[name] = Metric(metric.value, int(rewards.size), metric.low, metric.high)
    return found


def _slope(rewards: np.ndarray, flags: np.ndarray, codes: np.ndarray, picks: np.ndarray) -> float:
    rows = picks.astype(int)
    r, x, c = rewards[rows].ravel(), flags[rows].ravel(), codes[rows].ravel()
    x = _within(x, c)
    return float(x @ _within(r, c) / (x @ x)) if x.any() else float("nan")


def _within(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What is left of each value without its group's mean; exactly 0 where a group has but one value."""
    counts = np.maximum(np.bincount(codes), 1)
    left = values - (np.bincount(codes, values) / counts)[codes]
    return np.where(np.abs(left) < 1e-9, 0.0, left)
