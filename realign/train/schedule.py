"""Learning rate over the steps of a run."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float) -> float:
    """Rate of step `step` (from 0): linear warm-up over the share `warmup` of all steps, then a cosine from `peak`
    down to `final` × peak (Loshchilov & Hutter 2017)."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return peak * (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
