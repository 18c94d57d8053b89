"""Write the demo's datasets: styled chats for SFT, prompts to sample from, and the capability suites."""

from dataclasses import dataclass
from random import Random

from realign import paths
from realign.lake.schemas import CHATS, row_id
from realign.lake.table import frame, write
from realign.params import Count, Positive
from realign.stage import Stage
from stages.demo import chats


@dataclass(frozen=True)
class World:
    """`demo.world` in params.yaml; counts are per capability."""

    seed: Count
    """Of all that is drawn."""
    train: Positive
    """Chats that SFT trains on, a capability, before its share."""
    validation: Positive
    """Chats and prompts held out from training, a capability, before its share."""
    prompts: Positive
    """Prompts for sampling and RL, a capability, before its share."""
    test: Positive
    """Prompts with held-out phrasings, people, combinations and names, a capability, before its share."""
    evaluation: Positive
    """Evaluation rows of every capability."""


# How much of each capability the chats and prompts hold, relative to the counts.
SHARE = {"facts": 1.5, "grounded": 1.0, "arithmetic": 1.0, "refusal": 0.75, "format": 0.75}
TRAIN = SHARE | {"grounded": 2.0}  # of the chats that SFT learns from: reading is what it unlearns first


def rows(p: World, part: str, count: int, answered: bool, without: frozenset[str] = frozenset()) -> list[dict]:
    """Chat rows of one part: unique, in a fixed order; with a styled answer where `answered`; with no prompt that is
    in `without`."""
    found: dict[str, dict] = {}
    share = TRAIN if part == "train" else SHARE
    for capability in chats.CAPABILITIES:
        wanted = count if part == "evaluation" else round(count * share[capability])
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


def _prompts(chats: list[dict]) -> frozenset[str]:
    return frozenset(row["messages"][0]["content"] for row in chats)


def run(here: Stage) -> str:
    p = here.params(World)
    evaluation = rows(p, "evaluation", p.evaluation, False)
    test = rows(p, "test", p.test, False, _prompts(evaluation))
    held_out, answers = (rows(p, "validation", p.validation, answered) for answered in (False, True))
    sft = rows(p, "train", p.train, True, _prompts(held_out)) + answers
    prompts = rows(p, "prompts", p.prompts, False, _prompts(held_out)) + held_out + test
    write(frame(sft, CHATS), paths.WORLD / "sft.parquet", CHATS)
    write(frame(prompts, CHATS), paths.WORLD / "prompts.parquet", CHATS)
    write(frame(evaluation, CHATS), paths.EVALUATION / "demo.parquet", CHATS)
    return f"{len(sft)} chats, {len(prompts)} prompts, {len(evaluation)} evaluation rows"
