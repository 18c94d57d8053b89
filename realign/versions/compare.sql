-- What the comparison of $a and $b needs, one row for each capability (`whole`) and each of its slices.
-- An example is the same one in both versions when capability and example_id agree. A unit is what is asked: an
-- example, or all phrasings of one fact. A slice of fewer than $least units counts in its capability's slice `other`.
WITH examples AS (
    SELECT
        coalesce(a.capability, b.capability) AS capability,
        coalesce(a.slice, b.slice) AS slice,
        coalesce(a.unit, b.unit) AS unit,
        a.score AS a,
        b.score AS b,
        a.score IS NOT NULL AND b.score IS NOT NULL AS paired
    FROM (SELECT * FROM records WHERE version = $a) AS a
    FULL JOIN (SELECT * FROM records WHERE version = $b) AS b
        ON a.capability = b.capability AND a.example_id = b.example_id
),

named AS (
    SELECT capability, slice, CASE WHEN count(DISTINCT unit) < $least THEN 'other' ELSE slice END AS cell
    FROM examples
    GROUP BY capability, slice
),

units AS (
    SELECT
        capability,
        cell AS slice,
        slice AS within,
        unit,
        count(*) FILTER (paired) AS pairs,
        count(*) FILTER (b IS NULL) AS only_a,
        count(*) FILTER (a IS NULL) AS only_b,
        count(*) FILTER (b < a) AS worse,
        count(*) FILTER (b > a) AS better,
        coalesce(sum(a) FILTER (paired), 0) AS paired_a,
        coalesce(sum(b) FILTER (paired), 0) AS paired_b,
        coalesce(sum(a), 0) AS all_a,
        coalesce(sum(b), 0) AS all_b
    FROM examples
    JOIN named USING (capability, slice)
    GROUP BY ALL
)

SELECT
    capability,
    slice,
    grouping(slice) = 1 AS whole,
    sum(pairs)::BIGINT AS paired,
    sum(only_a)::BIGINT AS only_a,
    sum(only_b)::BIGINT AS only_b,
    sum(worse)::BIGINT AS worse,
    sum(better)::BIGINT AS better,
    count(*) FILTER (pairs > 0) AS units,
    count(*) FILTER (pairs + only_a > 0) AS units_a,
    count(*) FILTER (pairs + only_b > 0) AS units_b,
    count(*) FILTER (paired_b < paired_a) AS units_worse,
    count(*) FILTER (paired_b > paired_a) AS units_better,
    sum(greatest(paired_a - paired_b, 0)) AS lost,
    sum(greatest(paired_b - paired_a, 0)) AS won,
    sum(paired_a) AS paired_a,
    sum(paired_b) AS paired_b,
    sum(paired_a * paired_a) AS paired_aa,
    sum(paired_b * paired_b) AS paired_bb,
    sum(paired_a * paired_b) AS paired_ab,
    sum(all_a) AS all_a,
    sum(all_b) AS all_b,
    sum(all_a * all_a) AS all_aa,
    sum(all_b * all_b) AS all_bb
FROM units
GROUP BY GROUPING SETS ((capability), (capability, slice))
ORDER BY capability, whole DESC, slice = 'other', slice;
