"""The report of one workflow: one HTML file, nothing outside it, the same bytes from the same files."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from realign.report import figures, numbers, words
from realign.report.curves import charts
from realign.report.dropped import flows
from realign.report.lineage import lineage
from realign.report.samples import Sample, samples
from realign.report.sources import Run, Stage, load
from realign.report.summary import as_list, seen, summary, tiles
from realign.report.verdicts import cells, decisions, foremost, mismatches, state
from realign.verify.reference import written
from realign.words import AGAINST, change, is_number, number, threshold
from realign.workflow import EVALUATE

TEMPLATE = "report.html.j2"
FALLEN = 5  # examples shown a comparison


def render(root: Path, workflow: str = "") -> str:
    """The report of `workflow`, by default of the only one there is, in the project at `root`, as HTML.

    Says in a sentence what is missing; raises UserError on an unknown workflow or an unreadable file.
    """
    run = load(root, workflow)
    here = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
                       lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    here.filters |= {"number": number, "tag": numbers.tag, "figure": numbers.figure,
                     "interval": numbers.interval, "plain": numbers.plain, "clipped": numbers.clipped,
                     "coded": numbers.coded,
                     "written": written,
                     "label": words.label, "meaning": words.meaning, "short": threshold, "change": change}
    here.tests["known"] = is_number
    return here.get_template(TEMPLATE).render(context(run))


def context(run: Run) -> dict:
    """Everything the template shows."""
    return {
        "workflow": run.workflow, "run": run, "words": run.workflow.stages, "tiers": words.TIERS,
        "state": state(run), "summary": summary(run), "tiles": tiles(run),
        "gates": [gate(s) for s in run.stages], "charts": {s.name: charts(s) for s in run.stages},
        "capabilities": capabilities(run), "gaps": sorted(_named(run.baseline, "gaps.").items()),
        "behaviours": behaviours(run), "samples": samples(run), "flows": flows(run),
        "lineage": lineage(run), "params": list(parameters(run)), "thresholds": thresholds(run),
        "comparisons": comparisons(run), "facts": facts(run),
        "glossary": sorted({(words.label(_family(m)), words.meaning(m)) for s in run.stages for m in s.metrics
                            if words.meaning(m)}),
    }


def gate(stage: Stage) -> dict:
    """A row of the gates table: tier, deciding figures with their pictures (the foremost, and `more` of them), the
    quiet checks, the remedy, and what else is to be `told`."""
    made = decisions(stage)
    first = foremost(made)
    strips = [figures.strip(f"gate-{stage.name}-{i}", f"{words.label(d.metric)}, {stage.name}",
                            (d.observed, d.low, d.high), d.must, d.should) for i, d in enumerate(made)]
    shown = list(zip(made, map(seen, made), strips, strict=True))
    ranges = {d.metric for d in made}
    quiet = [c for c in stage.verdict.get("checks", []) if c["passed"] and c["metric"] not in ranges]
    return {"stage": stage, "quiet": len(quiet),
            "decisions": [row for row in shown if row[0] in first],
            "more": [row for row in shown if row[0] not in first],
            "told": rolled_back(stage),
            "remedy": as_list(stage.verdict.get("remedy")) if stage.tier in ("MEDIUM", "REJECT") else [],
            "mismatches": mismatches(stage)}


def rolled_back(stage: Stage) -> str:
    """Where rounds were undone: a sentence, since their figures of 0 do not say so."""
    rounds, undone = (stage.metrics.get(name, {}).get("value") for name in ("rounds", "rolled_back"))
    if not undone:
        return ""
    kept = "so the model from before the first is the one offered" if undone == rounds else "the best one was kept"
    came = f"{undone:g} of {rounds:g} {'round' if rounds == 1 else 'rounds'} came out no better"
    return f"{came} and {'was' if undone == 1 else 'were'} rolled back; {kept}."


def thresholds(run: Run) -> dict[str, dict[str, str]]:
    """Stage -> metric -> what its gate demands, in words."""
    return {s.name: {d.metric: d.wording for d in decisions(s)} for s in run.stages}


def capabilities(run: Run) -> list[dict]:
    """Per capability: the base model's score, the one at the start, the final one, retention, the picture.

    At the start is what the stage measured whose model the later ones started from, where it measured capabilities.
    """
    final = run.figures(EVALUATE)
    before, start, after, kept = (_named(metrics, prefix) for metrics, prefix in (
        (run.baseline, "capability."), (run.figures(run.workflow.start), "capability."), (final, "capability."),
        (final, "retention.")))
    return [{"name": name, "before": before.get(name, {}), "start": start.get(name, {}), "after": after.get(name, {}),
             "retention": kept.get(name, {}),
             "svg": figures.dumbbell(f"capability-{i}", f"{name}, before and after", before.get(name, {}),
                                     after.get(name, {}))}
            for i, name in enumerate(sorted(before.keys() | start.keys() | after.keys()))]


def behaviours(run: Run) -> list[dict]:
    """What the reward pays for, dearest first: the effect of each behaviour on it, and how much more often than the
    base model the final one shows it."""
    final = run.figures(EVALUATE)
    paid, gained = _named(final, "paid."), _named(final, "behaviour_gain.")
    return [{"name": name.replace("_", " "), "paid": paid[name], "gain": gained.get(name, {})}
            for name in sorted(paid, key=lambda name: -abs(paid[name]["value"] or 0))]


def _named(metrics: Mapping, prefix: str) -> dict:
    """The figures whose name begins so, by the rest of it."""
    return {name.removeprefix(prefix): metric for name, metric in metrics.items() if name.startswith(prefix)}


def parameters(run: Run) -> Iterator[tuple[str, str]]:
    """`params.yaml` as (dotted name, value), without the sections of other workflows."""
    for section in sorted(run.params):
        yield from _flat(run.params[section], section)


def _flat(value, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key in value:
            yield from _flat(value[key], f"{name}.{key}")
    else:
        yield name, "not set" if value is None else str(value)


def facts(run: Run) -> list[tuple[str, str]]:
    """What the run is of, in a line: the model's version, and the knobs that say what went in."""
    known = dict(parameters(run))
    name = run.workflow.name
    wanted = (("base model", "model.base.name"), ("data", f"{name}.data.source"), ("scorer", f"{name}.scorer.name"))
    version = str(run.verdict.get("version") or "")
    return [("version", version)] * bool(version) + [(label, known[knob]) for label, knob in wanted if knob in known]


def comparisons(run: Run) -> list[dict]:
    """What the verdict compared the model with: every capability with its slices, and the examples that fell
    furthest of what blocks."""
    found = run.verdict.get("comparisons", {})
    known = [name for name in AGAINST if name in found]
    return [{"name": AGAINST.get(name, name), "cells": cells(found[name]), "said": found[name].get("summary", ""),
             "visible": found[name].get("visible", ""),
             "examples": [_fallen(e) for e in found[name].get("examples", [])[:FALLEN]]}
            for name in known + sorted(found.keys() - set(known))]


def _fallen(example: Mapping) -> Sample:
    shared = {k: example[k] for k in ("example_id", "capability", "slice", "prompt", "reference")}
    before, after = ({k: example[f"{k}_{side}"] for k in ("output", "score")} for side in "ab")
    return Sample(shared | before, shared | after)


def _family(metric: str) -> str:
    return metric if metric in words.METRICS else metric.partition(".")[0]
