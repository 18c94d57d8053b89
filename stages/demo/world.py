"""Write the demo's datasets: styled chats for SFT, prompts to sample from, and the capability suites.

There are three suites, and none has a prompt of another: `development` is for choosing (methods, checkpoints, rounds),
`evaluation` for the gates, `sealed` for releases alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from realign import paths
from realign.curate.contamination import evaluation_index
from realign.curate.text import CHAT_TEXTS, texts_of
from realign.lake.schemas import CHATS, row_id
from realign.lake.table import frame, write
from realign.params import Count, Rows
from realign.stage import Stage
from stages.demo import chats


@dataclass(frozen=True)
class World:
    """`demo.world` in params.yaml; counts are per capability."""

    seed: Count
    """Of all that is drawn."""
    train: Rows
    """Chats that SFT trains on, a capability, before its share."""
    validation: Rows
    """Chats and prompts held out from training, a capability, before its share."""
    prompts: Rows
    """Prompts for sampling and RL, a capability, before its share."""
    test: Rows
    """Prompts with held-out phrasings, people, combinations and names, a capability, before its share."""
    development: Rows
    """Rows of every capability to choose methods, checkpoints and rounds by."""
    evaluation: Rows
    """Rows of every capability for the gates."""
    reserve: Count
    """More rows of every capability, as far as there are any, for what the verdict cannot tell from those."""
    sealed: Rows
    """Rows of every capability for releases alone."""


# How much of each capability the chats and prompts hold, relative to the counts.
SHARE = {"facts": 1.5, "grounded": 1.0, "arithmetic": 1.0, "refusal": 0.75, "format": 0.75}
# Of the chats that SFT learns from: most of what it unlearns first, reading and reckoning, least of forms.
TRAIN = {"facts": 2.0, "grounded": 1.5, "arithmetic": 2.0, "refusal": 1.0, "format": 0.25}
# Of the prompts that RL learns on; those held out, and to test on, keep the shares above.
PROMPTS = {"facts": 1.5, "grounded": 1.0, "arithmetic": 1.5, "refusal": 0.75, "format": 0.75}
# The suites and their folders, with as many rows of one capability as of another.
SUITES = {"evaluation": paths.EVALUATION, "sealed": paths.SEALED, "development": paths.DEVELOPMENT}


def rows(p: World, part: str, count: int, answered: bool, without: frozenset[str] = frozenset(),
         capabilities: Sequence[str] = chats.CAPABILITIES) -> list[dict]:
    """Chat rows of one part: unique, in a fixed order; with a styled answer where `answered`; with no prompt that is
    in `without`."""
    found: dict[str, dict] = {}
    share = {"train": TRAIN, "prompts": PROMPTS}.get(part, SHARE)
    for capability in capabilities:
        wanted = count if part in SUITES else round(count * share[capability])
        index = have = 0
        while have < wanted and index < 20 * wanted:  # a small world runs out of new questions
            q = chats.question(capability, p.seed, part, index, paths.TABLES)
            messages = [{"role": "user", "content": q.prompt}]
            if answered:
                rng = Random(f"{p.seed}:{part}:{capability}:{index}:style")
                messages.append({"role": "assistant", "content": chats.styled(q, rng, paths.TABLES)})
            identity = row_id(messages)
            if identity not in found and q.prompt not in without:
                found[identity] = {
                    "row_id": identity, "messages": messages, "capability": capability, "slice": q.slice,
                    "reference": q.reference.to_json(), "split": part, "source": "demo"}
                have += 1
            index += 1
    return sorted(found.values(), key=lambda row: row["row_id"])


def reserve(p: World, evaluation: list[dict], without: frozenset[str]) -> list[dict]:
    """The rows that would come next in the suite of the gates. Of facts there are none: each one is asked already."""
    known = {row["row_id"] for row in evaluation}
    others = [name for name in chats.CAPABILITIES if name != "facts"]
    more = rows(p, "evaluation", p.evaluation + p.reserve, False, without, others)
    return [row for row in more if row["row_id"] not in known]


def _prompts(*parts: list[dict]) -> frozenset[str]:
    return frozenset(row["messages"][0]["content"] for part in parts for row in part)


def run(here: Stage) -> str:
    p = here.params(World)
    suites: dict[str, list[dict]] = {}
    for part in SUITES:
        suites[part] = rows(p, part, getattr(p, part), False, _prompts(*suites.values()))
    test = rows(p, "test", p.test, False, _prompts(*suites.values()))
    held_out, answers = (rows(p, "validation", p.validation, answered) for answered in (False, True))
    sft = rows(p, "train", p.train, True, _prompts(held_out)) + answers
    prompts = rows(p, "prompts", p.prompts, False, _prompts(held_out)) + held_out + test
    write(frame(sft, CHATS), paths.WORLD / "sft.parquet", CHATS)
    write(frame(prompts, CHATS), paths.WORLD / "prompts.parquet", CHATS)
    for part, folder in SUITES.items():
        write(frame(suites[part], CHATS), folder / "demo.parquet", CHATS)
    more = reserve(p, suites["evaluation"], _prompts(suites["sealed"], suites["development"], test))
    write(frame(more, CHATS), paths.RESERVE / "demo.parquet", CHATS)
    trained = frame([*sft, *(row for row in prompts if row["split"] == "prompts")], CHATS)
    held = evaluation_index(*paths.SUITES).faults(texts_of(trained, CHAT_TEXTS))
    more = [row for row in more if row["row_id"] not in set(held["evaluation_id"])]  # training was there first
    write(frame(more, CHATS), paths.RESERVE / "demo.parquet", CHATS)
    counts = ", ".join(f"{len(found)} {part}" for part, found in suites.items())
    return f"{len(sft)} chats, {len(prompts)} prompts, rows of the suites: {counts}, {len(more)} in reserve"
