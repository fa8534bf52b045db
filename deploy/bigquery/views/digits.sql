-- How many images of each digit, and how many of them pass without review.
SELECT
  digit,
  COUNT(*) AS images,
  SUM(CASE WHEN decision = 'accept' THEN 1 ELSE 0 END) AS accepted,
  AVG(confidence) AS mean_confidence
FROM `DATASET.predictions`
GROUP BY digit
