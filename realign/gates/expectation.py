"""One expectation of a suite, as Great Expectations writes it: what it weighs and what it reads."""

SEVERITIES = ("critical", "warning", "info")
PARTS = ("n", "low", "high")  # of a metric, beside its value
NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
LENGTHS = "expect_column_value_lengths_to_be_between"
UNIQUE = "expect_column_values_to_be_unique"
ROW_COUNT = "expect_table_row_count_to_be_between"


def severity(expectation: dict) -> str:
    """The expectation's severity; Great Expectations' default is critical."""
    return expectation.get("severity", "critical")


def table(expectation: dict) -> str | None:
    """Name of the row table or of the group of metrics that the expectation reads; None for the metrics."""
    return expectation.get("meta", {}).get("table")


def columns(expectation: dict) -> list[str]:
    """Columns that the expectation reads, in order."""
    kwargs = expectation["kwargs"]
    single = [kwargs[k] for k in ("column", "column_A", "column_B") if k in kwargs]
    return single + list(kwargs.get("column_list", []))


def metric_name(column: str) -> str:
    """The metric that a column of the metrics frame belongs to: `kl.n` and `kl` are both of `kl`."""
    name, _, part = column.rpartition(".")
    return name if name and part in PARTS else column


def bounds(expectation: dict) -> tuple[float | None, float | None]:
    """The least and the greatest value that the expectation allows; None is open."""
    return expectation["kwargs"].get("min_value"), expectation["kwargs"].get("max_value")
