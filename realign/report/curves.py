"""From a stage's plot records to its charts: one chart for each kind of figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from realign.report.figures import Series, line_chart
from realign.report.sources import Stage
from realign.report.verdicts import Limit, decisions
from realign.report.words import label
from realign.words import is_number

X_NAMES = ("step", "round", "iteration", "epoch")
KINDS = ("loss", "reward", "score", "kl", "entropy", "accuracy")
# Fields that tell of the optimiser, for who tunes it.
TRAINING = frozenset({"approx_kl", "clip_fraction", "grad_norm", "squared_error", "targets", "validation_objective",
                      "value_clip_fraction"})
OF = ("mean", "train", "validation", "heldout", "before", "after")


@dataclass(frozen=True)
class Chart:
    """A drawn chart and the names of its curves, for the legend."""

    title: str
    svg: Markup
    names: tuple[str, ...]
    aside: bool  # of the optimiser alone


def charts(stage: Stage) -> list[Chart]:
    """The charts of a stage, loss first, then reward, score, KL, entropy, accuracy and the rest."""
    records = [r for r in stage.plots if isinstance(r, dict)]
    x_name = next((x for x in X_NAMES if any(is_number(r.get(x)) for r in records)), None)
    if x_name is None:
        return []
    names = sorted({k for r in records for k, v in r.items() if is_number(v)} - set(X_NAMES))
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_kind(name), []).append(name)
    limits = {d.metric: Limit(_first(d.must.floor, d.should.floor), _first(d.must.ceiling, d.should.ceiling))
              for d in decisions(stage)}
    drawn = []
    for kind in sorted(kinds, key=lambda k: (KINDS.index(k) if k in KINDS else len(KINDS), k)):
        lines = [s for name in kinds[kind] for s in _series(records, x_name, name)]
        title = label(kinds[kind][0] if len(kinds[kind]) == 1 else kind)
        limit = next((limits[n] for n in kinds[kind] if n in limits), Limit())
        chart = line_chart(f"curve-{stage.name}-{kind}", f"{title}, {stage.name}", x_name, lines, limit)
        if chart:
            drawn.append(Chart(title, chart, tuple(s.name for s in lines), kind in TRAINING))
    return drawn


def _first(a: float | None, b: float | None) -> float | None:
    return b if a is None else a


def _kind(name: str) -> str:
    """The kind of a field: `validation_loss` is a loss, `reward_mean` a reward, `kl_penalty` is no KL."""
    if name in TRAINING:
        return name
    words = name.replace(".", "_").split("_")
    kind = words[0] if words[-1] in OF else words[-1]
    return kind if kind in KINDS else name


def _series(records: Sequence[dict], x_name: str, field: str) -> list[Series]:
    """One curve of `field`; one a round where the steps start anew each round; one a value of `split`."""
    groups: dict[str, list[tuple]] = {}
    steps = [(r.get("split"), r.get(x_name)) for r in records if field in r]
    anew = x_name != "round" and len(set(steps)) < len(steps)
    for r in records:
        if field in r and is_number(r.get(x_name)):
            parts = [label(field)] + ([str(r["split"])] if "split" in r else [])
            parts += [f"round {r['round']}"] if anew and "round" in r else []
            if is_number(r[field]):  # what is measured now and then is null in between
                groups.setdefault(", ".join(parts), []).append((r[x_name], r[field]))
    return [Series(name, tuple(sorted(points, key=lambda p: p[0]))) for name, points in groups.items()]
