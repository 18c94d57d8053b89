-- What the comparison of $a and $b needs, one row for each capability (`whole`) and each of its slices.
-- An example is the same one in both versions when capability and example_id agree.
WITH examples AS (
    SELECT
        coalesce(a.capability, b.capability) AS capability,
        coalesce(a.slice, b.slice) AS slice,
        a.score AS a,
        b.score AS b,
        a.score IS NOT NULL AND b.score IS NOT NULL AS paired
    FROM (SELECT * FROM records WHERE version = $a) AS a
    FULL JOIN (SELECT * FROM records WHERE version = $b) AS b
        ON a.capability = b.capability AND a.example_id = b.example_id
)
SELECT
    capability,
    slice,
    grouping(slice) = 1 AS whole,
    count(*) FILTER (paired) AS paired,
    count(*) FILTER (b IS NULL) AS only_a,
    count(*) FILTER (a IS NULL) AS only_b,
    count(*) FILTER (b < a) AS worse,
    count(*) FILTER (b > a) AS better,
    bool_and(a IN (0, 1) AND b IN (0, 1)) FILTER (paired) AS binary_scores,
    coalesce(sum(a) FILTER (paired), 0) AS paired_a,
    coalesce(sum(b) FILTER (paired), 0) AS paired_b,
    coalesce(sum(a * a) FILTER (paired), 0) AS paired_aa,
    coalesce(sum(b * b) FILTER (paired), 0) AS paired_bb,
    coalesce(sum(a * b) FILTER (paired), 0) AS paired_ab,
    coalesce(sum(a), 0) AS all_a,
    coalesce(sum(b), 0) AS all_b,
    coalesce(sum(a * a), 0) AS all_aa,
    coalesce(sum(b * b), 0) AS all_bb
FROM examples
GROUP BY GROUPING SETS ((capability), (capability, slice))
ORDER BY capability, whole DESC, slice;
