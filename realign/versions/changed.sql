-- Examples that $b answers worse than $a, worst first.
SELECT
    a.capability,
    a.slice,
    a.example_id,
    a.prompt,
    a.reference,
    a.output AS output_a,
    b.output AS output_b,
    a.score AS score_a,
    b.score AS score_b
FROM records AS a
JOIN records AS b
    ON a.capability = b.capability AND a.example_id = b.example_id
WHERE a.version = $a AND b.version = $b AND b.score < a.score
ORDER BY a.score - b.score DESC, a.capability, a.example_id;
