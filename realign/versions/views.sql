-- The two views over every version loaded; `loaded_records` and `loaded_metrics` are Arrow tables.
CREATE VIEW records AS
SELECT version, example_id, capability, slice, prompt, output, score, reference
FROM loaded_records;

CREATE VIEW metrics AS
SELECT version, metric, value, n, low, high
FROM loaded_metrics;
