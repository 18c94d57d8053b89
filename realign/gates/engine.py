"""Great Expectations, started once in a process and kept off the network and the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from realign.errors import UserError
from realign.gates.expectation import table
from realign.gates.frames import Frame, narrowed
from realign.gates.suite import suggest


def evaluate(suite: dict, frames: dict[str | None, Frame]) -> list[dict]:
    """`{"passed": bool, "result": {…}}` for every expectation, in the suite's order.

    `result` is Great Expectations' BASIC result, for metrics and groups its COMPLETE one, which names the rows
    that failed. Raises UserError for an expectation that is unknown, malformed or cannot be evaluated: none of
    these may count as passed.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is imported
    import great_expectations as gx

    tables = suite.get("meta", {}).get("tables", {})
    by_frame: dict[str | None, list] = {}
    for i, expectation in enumerate(suite["expectations"]):
        put = narrowed(expectation) if table(expectation) in tables else expectation
        by_frame.setdefault(table(expectation), []).append(_build(put, i, suite["name"]))
    results: dict[int, dict] = {}
    for name, expectations in by_frame.items():
        part = gx.ExpectationSuite(name=suite["name"], expectations=expectations)
        batch = _batches().get_batch({"dataframe": frames[name]})
        with _one_configuration_each():
            outcomes = batch.validate(part, result_format="BASIC" if name in tables else "COMPLETE").results
        for outcome in outcomes:
            i = outcome.expectation_config.meta["position"]
            _refuse_exception(outcome.exception_info, suite["expectations"][i], suite["name"])
            results[i] = {"passed": bool(outcome.success), "result": dict(outcome.result)}
    return [results[i] for i in range(len(suite["expectations"]))]


@cache
def _batches():
    """The one batch definition, on a context that lives in memory only."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("realign").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("all")


@contextmanager
def _one_configuration_each() -> Iterator[None]:
    """Inside the block an expectation's configuration is made once. Great Expectations makes one at each of some
    hundred times that it asks for it, all alike, which is nearly half of its time."""
    from great_expectations.expectations.expectation import Expectation

    make, known = Expectation.configuration, {}

    def configuration(self):
        if id(self) not in known:
            known[id(self)] = self, make.fget(self)  # with the expectation, whose id stays its own while it lives
        return known[id(self)][1]

    Expectation.configuration = property(configuration)
    try:
        yield
    finally:
        Expectation.configuration = make


def _build(expectation: dict, position: int, suite_name: str):
    # ExpectationSuite(expectations=[dict, …]) drops what it cannot build and only logs it:
    # a misspelt check would vanish. Built one by one, it is an error.
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    where = f"suite {suite_name!r}, expectation {position + 1}"
    known = list_registered_expectation_implementations()
    if expectation["type"] not in known:
        close = suggest(expectation["type"], known)
        raise UserError(f"unknown expectation type {expectation['type']!r}", where=where,
                        fix=close if close.startswith("did") else "see Great Expectations' gallery")
    try:
        return ExpectationConfiguration(**expectation | {"meta": {"position": position}}).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise UserError(f"{expectation['type']} is malformed: {error}", where=where) from error


def _refuse_exception(info: dict, expectation: dict, suite_name: str) -> None:
    """Great Expectations reports an evaluation that crashed as a failure; here it is an error."""
    entries = [info] if "raised_exception" in info else info.values()
    for entry in entries:
        if entry["raised_exception"]:
            raise UserError(f"{expectation['type']} cannot be evaluated: {entry['exception_message']}",
                            where=f"suite {suite_name!r}",
                            expected=f"kwargs that fit: {expectation['kwargs']}")
