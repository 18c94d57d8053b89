"""Arrow schemas of every dataset, and the identity of a row."""

import hashlib
import json

import pyarrow as pa


def _required(**columns: pa.DataType) -> pa.Schema:
    """A schema whose columns all refuse nulls."""
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


MESSAGE = pa.struct([
    pa.field("role", pa.string(), nullable=False),
    pa.field("content", pa.string(), nullable=False),
])
MESSAGES = pa.list_(pa.field("element", MESSAGE, nullable=False))

# One scored answer of one model to one evaluation prompt; score in [0, 1].
RECORDS = _required(
    example_id=pa.string(), capability=pa.string(), slice=pa.string(), prompt=pa.string(),
    output=pa.string(), score=pa.float64(), reference=pa.string(),
)

# What the base model and the final one answered to one held-out prompt at temperature 1, with the same seed: by the
# verifier right (1) or not, the scorer's score in [0, 1], the reward that training paid; NaN where nobody judges.
# `kl` to the model of the start and `entropy` are sums over the final answer's `tokens`, nats.
SAMPLES = _required(
    example_id=pa.string(), capability=pa.string(), slice=pa.string(), prompt=pa.string(), reference=pa.string(),
    sample=pa.int64(), base_output=pa.string(), output=pa.string(), base_right=pa.float64(), right=pa.float64(),
    base_score=pa.float64(), score=pa.float64(), base_reward=pa.float64(), reward=pa.float64(),
    kl=pa.float64(), entropy=pa.float64(), tokens=pa.int64(),
)

# Two answers to one prompt, the better one first; scores in [0, 1].
PAIRS = _required(
    row_id=pa.string(), prompt_id=pa.string(), messages=MESSAGES, chosen=pa.string(),
    rejected=pa.string(), chosen_score=pa.float64(), rejected_score=pa.float64(),
    preference_type=pa.string(), split=pa.string(), source=pa.string(),
)

# A conversation to train or evaluate on; `reference` is JSON.
CHATS = _required(
    row_id=pa.string(), messages=MESSAGES, capability=pa.string(), slice=pa.string(),
    reference=pa.string(), split=pa.string(), source=pa.string(),
)

# A row left out: where it stood (1-based), why (the name of the fault), and how it began.
REJECTED = _required(
    source=pa.string(), position=pa.int64(), reason=pa.string(), detail=pa.string(),
    content=pa.string(),
)


def canonical_json(value) -> str:
    """JSON with sorted keys, no spaces and ASCII only: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def row_id(*content) -> str:
    """The identity of a row: 16 hex digits (64 bits) of the SHA-256 of its content.

    It depends on the content alone, not on key order or on where the row stands in a file.
    """
    return hashlib.sha256(canonical_json(content).encode("ascii")).hexdigest()[:16]


def row_fault(row: dict, schema: pa.Schema) -> tuple[str, str] | None:
    """`(reason, detail)` of the first column in which `row` does not fit `schema`, else None."""
    for field in schema:
        if row.get(field.name) is None:
            return "missing_field", f"`{field.name}` is missing or null"
        if (fault := _value_fault(row[field.name], field.type)) is not None:
            return fault[0], f"`{field.name}` {fault[1]}"
    if unknown := sorted(set(row) - set(schema.names)):
        return "unknown_field", f"`{unknown[0]}` is not a column of this dataset"
    return None


def _value_fault(value, kind: pa.DataType) -> tuple[str, str] | None:
    if pa.types.is_struct(kind):
        if not isinstance(value, dict) or any(value.get(f.name) is None for f in kind):
            return "wrong_type", f"holds something else than {kind}"
        return next((f for f in (_value_fault(value[c.name], c.type) for c in kind) if f), None)
    if pa.types.is_list(kind):
        if not isinstance(value, (list, tuple)):
            return "wrong_type", f"is {type(value).__name__}, not a list"
        return next((f for f in (_value_fault(v, kind.value_type) for v in value) if f), None)
    allowed = {pa.string(): str, pa.int64(): int, pa.float64(): (int, float)}[kind]
    if not isinstance(value, allowed) or isinstance(value, bool):
        return "wrong_type", f"is {type(value).__name__}, not {kind}"
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        return "invalid_utf8", "holds bytes that are not text (lone surrogates)"
    return None
