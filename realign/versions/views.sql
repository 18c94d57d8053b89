-- The two views over every version loaded; `loaded_records` and `loaded_metrics` are Arrow tables.
-- `unit` is what is asked: rows of a capability's slice whose reference names the same fact (an answer, and of what it
-- is said) ask it in other words; any other row is a unit of its own.
-- Text that is no JSON is told first: `try` evaluates row by row once it meets some.
CREATE TEMP VIEW records AS
SELECT
    version, example_id, capability, slice, prompt, output, score, reference,
    CASE
        WHEN NOT json_valid(reference) THEN 'row ' || example_id
        WHEN try(json_extract(reference, '$.answer')) IS NOT NULL
            AND try(json_extract(reference, '$.subject')) IS NOT NULL
            THEN 'fact ' || reference
        ELSE 'row ' || example_id
    END AS unit
FROM loaded_records;

CREATE TEMP VIEW metrics AS
SELECT version, metric, value, n, low, high
FROM loaded_metrics;
