-- Every metric of $a and $b, side by side; NULL where one of them lacks it.
SELECT
    coalesce(a.metric, b.metric) AS metric,
    a.value AS a, a.n AS n_a, a.low AS low_a, a.high AS high_a,
    b.value AS b, b.n AS n_b, b.low AS low_b, b.high AS high_b
FROM (SELECT * FROM metrics WHERE version = $a) AS a
FULL JOIN (SELECT * FROM metrics WHERE version = $b) AS b ON a.metric = b.metric
ORDER BY metric;
