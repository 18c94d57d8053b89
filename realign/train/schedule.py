"""Learning rate over the steps of a run."""

import math
from collections.abc import Callable


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float) -> float:
    """Rate of step `step` (from 0): linear warm-up over the share `warmup` of all steps, then a cosine from `peak`
    down to `final` × peak (Loshchilov & Hutter 2017)."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return peak * (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))


def with_cooldown(step: int, steps: int, rate: Callable[[int], float], cooldown: int, last: float) -> float:
    """`rate(step)`, but in the last `cooldown` of `steps` a straight line from what it was down to `last`: how a run
    of which the schedule was laid out longer ends well (Hägele et al. 2024)."""
    left = steps - step
    if left > cooldown:
        return rate(step)
    return last + (rate(steps - cooldown) - last) * left / cooldown
