"""Faults that the verdict must refuse or block: in records, evaluation rows, verdicts, suites, the model, the locks;
and models that lost something. What was released is damaged too, for `realign verify` to find.

The clean state is that of the release's own tests, an offer with the locks of the stages that made it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import polars as pl

from realign.errors import UserError
from realign.lake.schemas import RECORDS
from realign.lake.table import frame, write
from realign.release.decide import Candidate
from realign.release.release import release
from realign.release.verify import verify
from tests.realign.release import other_hands
from tests.realign.release.offered import FOLDER, RESERVE, SEALED, ask, judge, locked, offer, settle
from tests.realign.release.offered import VERDICT as DECIDED
from tests.realign.versions.conftest import PIPELINE
from tests.trust.fault import Fault
from tests.trust.gate_faults import Said

OFFERED, START, BASE = (Path(f"data/{name}/records.parquet") for name in ("srf/evaluate", "srf/sft", "common/baseline"))
EVALUATION, WEIGHTS = Path("data/evaluation/demo.parquet"), Path("checkpoints/srf/iterate/model.safetensors")
VERDICT, SUITE, LOCK = Path("metrics/srf/gates/rl.json"), Path("expectations/srf/rl.json"), Path("stages/srf/dvc.lock")
SUMS, SLICES = 600, 20  # answers to sums, in so many slices of 30; half of them of two steps
Plant = Callable[[], Any]


def clean_offer() -> Candidate:
    """An offer in the current directory that is released: a model, records of it, of the base and of the start, five
    capabilities of 600 rows, verdicts, suites and locks. Of 600 facts each model answers 6 wrong or so."""
    candidate = offer("one", 8)
    for path in (OFFERED, START, BASE):
        rows = [{"example_id": f"{name}{i}", "capability": name, "slice": f"{i * 2 // 600 + 1} step", "prompt": f"{i}?",
                 "reference": "{}", "output": f"{name} {i}", "score": 1.0}
                for name in ("arithmetic", "grounded", "refusal") for i in range(SUMS)]
        rows += [{"example_id": f"w{i}", "capability": "words", "slice": f"s{i // 60:02}", "prompt": f"{i}?",
                  "reference": "{}", "output": f"w{i}", "score": 1.0} for i in range(60 * SLICES)]
        write(pl.concat([pl.read_parquet(path), frame(rows, RECORDS)]), path, RECORDS)
    locked()
    return candidate


def rows(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], relock: bool = False) -> Plant:
    """Records changed; with `relock`, by the stage that wrote them, so that the locks know."""
    def plant() -> None:
        change(pl.read_parquet(path)).write_parquet(path)
        if relock:
            locked()
    return plant


def scores(condition: pl.Expr, score: float = 0.0) -> Plant:
    """Another score for some of the candidate's answers, as its evaluation gave them."""
    return rows(OFFERED, lambda table: table.with_columns(
        score=pl.when(condition).then(score).otherwise("score")), relock=True)


def some(capability: str, share: float, *within: pl.Expr) -> pl.Expr:
    """That share of a capability's answers (of those within it), spread evenly."""
    mine = pl.all_horizontal(pl.col("capability") == capability, *within)
    return mine & (mine.cum_sum() * share).floor().gt(((mine.cum_sum() - 1) * share).floor())


def written(path: Path, change: Callable[[bytes], bytes]) -> Plant:
    return lambda: path.write_bytes(change(path.read_bytes()))


def flipped(content: bytes) -> bytes:
    """One bit in the middle is another."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]


def entry(path: Path, change: Callable[[dict], Any], relock: bool = False) -> Plant:
    """A JSON file changed."""
    def plant() -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        if relock:
            locked()
    return plant


def moved(source: Path, target: Path, relock: bool = False) -> Plant:
    def plant() -> None:
        shutil.copyfile(source, target)
        if relock:
            locked()
    return plant


def added(name: str) -> Plant:
    return lambda: (WEIGHTS.parent / name).write_text("x")


def _fault(kind: str, name: str, says: str, plant: Plant, missed: str = "") -> Fault:
    return Fault(kind, name, "verdict", says, plant, missed)


ONE, RIGHT = pl.col("example_id") == "e003", pl.col("score") == 1
RAN_ON = "is not what srf:evaluate ran on"
RELEASES = {fault.name: fault for fault in (
    _fault("record", "an answer's score is 1.5", "has score 1.5", scores(ONE, 1.5)),
    _fault("record", "an answer's score is negative", "has score -0.5", scores(ONE, -0.5)),
    _fault("record", "an answer's score is NaN", "has score nan", scores(ONE, float("nan"))),
    _fault("record", "an answer has no score", "holds a null", rows(OFFERED, lambda t: t.with_columns(
        score=pl.when(ONE).then(None).otherwise("score")), True)),
    _fault("record", "scores are text", "`score`", rows(OFFERED, lambda t: t.with_columns(
        pl.col("score").cast(pl.String)), True)),
    _fault("record", "an example twice", "stands 2 times", rows(OFFERED, lambda t: pl.concat([t, t.head(1)]), True)),
    _fault("record", "every example twice", "stands 2 times", rows(OFFERED, lambda t: pl.concat([t, t]), True)),
    _fault("record", "ten examples are missing", "were evaluated for the base model", rows(
        OFFERED, lambda t: t.filter(pl.int_range(pl.len()) >= 10), True)),
    _fault("record", "the hundred wrong answers are missing", "were evaluated for the base model", rows(
        OFFERED, lambda t: t.filter(~some("words", 1 / 12)), True)),
    _fault("record", "a capability is missing", "was not evaluated", rows(
        OFFERED, lambda t: t.filter(pl.col("capability") != "refusal"), True)),
    _fault("record", "a slice is missing", "was not evaluated", rows(
        OFFERED, lambda t: t.filter(pl.col("slice") != "s07"), True)),
    _fault("record", "no records", "no rows", rows(OFFERED, lambda t: t.clear(), True)),
    _fault("record", "a column is missing", "`reference`", rows(OFFERED, lambda t: t.drop("reference"), True)),
    _fault("record", "the file is cut short", "not a whole Parquet file",
           lambda: (written(OFFERED, lambda content: content[:-200])(), locked())),
    _fault("record", "records of another model", RAN_ON, moved(START, OFFERED)),
    _fault("record", "one score is mended by hand", RAN_ON, rows(OFFERED, lambda t: t.with_columns(
        score=pl.lit(1.0)))),
    _fault("record", "outputs of another model, scores kept", RAN_ON, rows(OFFERED, lambda t: t.with_columns(
        output=pl.lit("copied")))),
    _fault("record", "baseline taken after the damage", "is not what baseline ran on", moved(OFFERED, BASE)),
    _fault("record", "a worse baseline", "is not what baseline ran on", rows(BASE, lambda t: t.with_columns(
        score=pl.lit(0.5)))),
    _fault("record", "evaluation rows exchanged for easier ones", "is not what baseline ran on",
           written(EVALUATION, lambda content: b"easier")),
    _fault("record", "one bit of the evaluation rows", "is not what baseline ran on", written(EVALUATION, flipped)),
    _fault("model", "one bit of the model", RAN_ON, written(WEIGHTS, flipped)),
    _fault("model", "another model", RAN_ON, written(WEIGHTS, lambda content: b"other weights")),
    _fault("model", "no weights", RAN_ON, lambda: WEIGHTS.unlink()),
    _fault("model", "a file more", RAN_ON, added("adapter.safetensors")),
    _fault("model", "another chat template", RAN_ON, written(WEIGHTS.with_name("config.json"), lambda content: b"[]")),
    _fault("model", "an empty folder", "holds no files",
           lambda: [path.unlink() for path in WEIGHTS.parent.rglob("*") if path.is_file()]),
    _fault("verdict", "the tier is edited to HIGH", "says HIGH, but its checks make REJECT", entry(
        VERDICT, lambda v: v.update(tier="HIGH", checks=[{"severity": "critical", "passed": False}]), True)),
    _fault("verdict", "a warning is not told", "says HIGH, but its checks make MEDIUM", entry(
        VERDICT, lambda v: v.update(tier="HIGH", checks=[{"severity": "warning", "passed": False}]), True)),
    _fault("verdict", "a check is edited to passed", "is not what srf:gate@rl ran on", entry(
        VERDICT, lambda v: v.update(tier="HIGH", checks=[{"severity": "critical", "passed": True}]))),
    _fault("verdict", "no checks", "no checks", entry(VERDICT, lambda v: v.update(tier="HIGH", checks=[]), True)),
    _fault("verdict", "a check of unknown severity", "check 1 is none", entry(
        VERDICT, lambda v: v.update(checks=[{"severity": "grave", "passed": False}]), True)),
    _fault("verdict", "passed is text", "check 1 is none", entry(
        VERDICT, lambda v: v.update(checks=[{"severity": "critical", "passed": "no"}]), True)),
    _fault("verdict", "a verdict is missing", "no such file", lambda: VERDICT.unlink()),
    _fault("verdict", "a verdict is cut short", "is not what srf:gate@rl ran on",
           written(VERDICT, lambda content: content[:-5])),
    _fault("verdict", "a gate rejects", "the gate of rl is REJECT", entry(VERDICT, lambda v: v.update(
        tier="REJECT", checks=[{"severity": "critical", "passed": False}]), True)),
    _fault("verdict", "the suite is edited after the verdict", "is not what srf:gate@rl ran on",
           written(SUITE, lambda content: b'{"min_value": 0.5}')),
    _fault("verdict", "the suite is missing", "no such file", lambda: SUITE.unlink()),
    _fault("verdict", "the lock says another model", RAN_ON, entry(LOCK, lambda lock: lock["stages"]["evaluate"][
        "deps"][0].update(md5="0" * 32 + ".dir"))),
    _fault("verdict", "the lock is broken", "broken YAML", written(LOCK, lambda content: content[:-5])),
    _fault("loss", "always refuses", "was lost against the base model",
           scores(pl.col("capability") != "refusal")),
    _fault("loss", "always gives the same answer", "was lost against the base model",
           scores(pl.col("example_id") != "e003")),
    _fault("loss", "never answers", "was lost against the base model", scores(pl.lit(True))),
    _fault("loss", "never refuses", "refusal was lost", scores(pl.col("capability") == "refusal")),
    _fault("loss", "every second answer of one capability", "arithmetic was lost", scores(some("arithmetic", 0.5))),
    _fault("loss", "a tenth of one capability", "arithmetic was lost", scores(some("arithmetic", 0.10))),
    _fault("loss", "a tenth of the largest capability", "words was lost", scores(some("words", 0.10))),
    _fault("loss", "a tenth of every capability", "was lost against the base model",
           scores(pl.int_range(pl.len()) % 9 == 0)),
    _fault("loss", "6% of one capability", "arithmetic may be lost", scores(some("arithmetic", 0.06))),
    _fault("loss", "a slice of one twentieth, whole", "words, s07 was lost", scores(pl.col("slice") == "s07")),
    _fault("loss", "half of a slice of one twentieth", "words, s07 was lost",
           scores(some("words", 0.5, pl.col("slice") == "s07"))),
    _fault("loss", "a two-step slice by 16%", "arithmetic, 2 step was lost",
           scores(some("arithmetic", 0.16, pl.col("slice") == "2 step"))),
    _fault("loss", "gains elsewhere hide it", "arithmetic, 2 step was lost", lambda: (
        rows(BASE, lambda t: t.with_columns(score=pl.when(pl.col("slice") == "1 step").then(0.8).otherwise("score")))(),
        scores(some("arithmetic", 0.16, pl.col("slice") == "2 step"))())),
    _fault("loss", "what SFT lost, seen from the base", "against the base model", lambda: (
        moved(OFFERED, START)(), scores(some("grounded", 0.12))(), moved(OFFERED, START, True)())),
    _fault("loss", "what RL lost, seen from the start", "against the model that later stages started from", lambda: (
        rows(BASE, lambda t: t.with_columns(score=pl.when(pl.col("capability") == "grounded").then(0.5).otherwise(
            "score")))(), scores(some("grounded", 0.12))())),
)}


def releases_said(folder: Path) -> Said:
    """What the verdict says of each offer: why it is refused, or the reasons that block it; empty where it
    passes."""
    clean = folder / "clean"
    with _at(clean):
        clean_offer()
        if reasons := judge(_candidate())["reasons"]:
            raise AssertionError(f"the clean offer is blocked: {reasons}")
    said = {}
    for number, fault in enumerate(RELEASES.values()):
        with _at(Path(shutil.copytree(clean, folder / f"offer{number}"))):
            fault.plant()
            try:
                said[fault.name] = "; ".join(judge(_candidate())["reasons"])
            except UserError as error:
                said[fault.name] = str(error)
    return said


def _candidate() -> Candidate:
    stages = ("sft", "rl", "evaluate")
    return Candidate("srf", WEIGHTS.parent, OFFERED, BASE, START, RESERVE, Path("metrics/srf/evaluate.json"),
                     (EVALUATION,),
                     {stage: Path(f"metrics/srf/gates/{stage}.json") for stage in stages},
                     {stage: Path(f"expectations/srf/{stage}.json") for stage in stages})


def _at(folder: Path) -> Any:
    """The current directory is this one, which declares the workflow."""
    (folder / "stages/srf").mkdir(parents=True, exist_ok=True)
    (folder / "stages/srf/dvc.yaml").write_text(PIPELINE)
    return chdir(folder)


def _verify(name: str, says: str, plant: Plant) -> Fault:
    return Fault("release", name, "realign verify", says, plant)


def released(name: str) -> Iterator[Path]:
    return FOLDER.glob(name)


def changed_release(name: str, change: Callable[[bytes], bytes]) -> Plant:
    return lambda: [written(path, change)() for path in released(name)]


VERIFIED = {fault.name: fault for fault in (
    _verify("one bit of the released model", "model.safetensors is not what was released",
            changed_release("model/*/model.safetensors", flipped)),
    _verify("a file of the released model is missing", "config.json is missing",
            lambda: [path.unlink() for path in released("model/*/config.json")]),
    _verify("a file more in the released model", "was not released",
            lambda: [(path / "adapter.safetensors").write_text("x") for path in released("model/*")]),
    _verify("the released records are edited", "is not what was released",
            changed_release("records/*.parquet", flipped)),
    _verify("the baseline of the release is exchanged", "baseline/records.parquet is not what", moved(START, BASE)),
    _verify("the evaluation rows of the release are exchanged", "demo.parquet is not what was released",
            written(EVALUATION, lambda content: b"easier")),
    _verify("a verdict of the release became REJECT", "the gate of rl is REJECT, was", entry(
        VERDICT, lambda v: v.update(tier="REJECT", checks=[{"severity": "critical", "passed": False}]))),
    _verify("a tier of the release is edited", "but its checks make", entry(VERDICT, lambda v: v.update(tier="HIGH"))),
    _verify("a suite of the release is edited", "rl.json is not what was released",
            written(SUITE, lambda content: b'{"min_value": 0.5}')),
    _verify("the release has no hashes", "without the hashes", entry(
        FOLDER / "pointer.json", lambda p: p.pop("bound"))),
    _verify("the sealed records of the release are exchanged", "is not what was released", lambda: shutil.copyfile(
        START, json.loads((FOLDER / "pointer.json").read_text())["sealed"]["path"])),
    _verify("the opening is struck out", "no opening 1 for this model", lambda: (FOLDER / "openings.jsonl").unlink()),
    _verify("the pointer is broken", "broken JSON", written(FOLDER / "pointer.json", lambda content: content[:-9])),
)}


def verified_said(folder: Path) -> Said:
    """What `realign verify` says of a release that was damaged afterwards."""
    whole = folder / "released"
    with _at(whole):
        clean_offer()
        settle(_candidate())
    if faults := verify("srf", whole)[1]:
        raise AssertionError(f"the clean release is faulty: {faults}")
    said = {}
    for number, fault in enumerate(VERIFIED.values()):
        home = Path(shutil.copytree(whole, folder / f"release{number}"))
        with chdir(home):
            fault.plant()
        try:
            said[fault.name] = "; ".join(verify("srf", home)[1])
        except UserError as error:
            said[fault.name] = str(error)
    return said


def _moved(name: str, says: str, plant: Plant) -> Fault:
    return Fault("candidate", name, "realign release", says, plant)


def edited(**changes: Any) -> Plant:
    return entry(DECIDED, lambda verdict: verdict.update(changes))


MOVED = {fault.name: fault for fault in (
    _moved("a stage is frozen", "is frozen", other_hands.frozen),
    _moved("a stage was run alone", "ran on another checkpoints/srf/sft", other_hands.alone),
    _moved("an output was edited and committed", "committed by hand", other_hands.recommitted),
    _moved("a gate judged another suite", "is about another", other_hands.judged_otherwise),
    _moved("no verdict", "verdicts/srf.json", lambda: DECIDED.unlink()),
    _moved("the verdict is about another candidate", "not about the candidate", edited(bound={})),
    _moved("what is blocked says passed", "arithmetic was lost", lambda: (
        scores(some("arithmetic", 0.5))(), judge(_candidate()), edited(decision="passed", reasons=[])())),
    _moved("a bit of the model after the verdict", "is not what srf:evaluate ran on", written(WEIGHTS, flipped)),
    _moved("the sealed rows are exchanged", "is not what baseline ran on", written(SEALED, lambda content: b"easier")),
    _moved("no sealed rows", "no sealed rows", lambda: SEALED.unlink()),
    _moved("a tenth of one capability, on sealed rows alone", "arithmetic was lost against the base model",
           lambda: LOSES.append("arithmetic")),
    _moved("a slice, on sealed rows alone", "words, s07 was lost against the base model", lambda: LOSES.append("s07")),
)}
LOSES: list[str] = []  # capability or slice that the candidate loses on sealed rows


def _sealed_answers(name: str) -> pl.DataFrame:
    found = ask(name)
    if name != "candidate" or not LOSES:
        return found
    lost = some(LOSES[0], 0.1) if LOSES[0] != "s07" else pl.col("slice") == "s07"
    return found.with_columns(score=pl.when(lost).then(0.0).otherwise("score"))


def moved_said(folder: Path) -> Said:
    """What `realign release` says of each candidate that passed its verdict; empty where it is released."""
    clean = folder / "judged"
    with _at(clean):
        judge(clean_offer())
    said = {}
    for number, fault in enumerate(MOVED.values()):
        with _at(Path(shutil.copytree(clean, folder / f"candidate{number}"))):
            fault.plant()
            try:
                release(_candidate(), FOLDER, DECIDED, [SEALED] if SEALED.is_file() else [], _sealed_answers)
                said[fault.name] = ""
            except UserError as error:
                said[fault.name] = str(error)
            LOSES.clear()
    return said
