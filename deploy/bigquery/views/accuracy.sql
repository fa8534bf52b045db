-- How right the answers are, where the truth is known: all of them, and those that pass without review.
SELECT
  decision,
  COUNT(*) AS labeled,
  SUM(CASE WHEN digit = label THEN 1 ELSE 0 END) AS right_answers,
  AVG(CASE WHEN digit = label THEN 1.0 ELSE 0.0 END) AS accuracy
FROM `DATASET.predictions`
WHERE label IS NOT NULL
GROUP BY decision
