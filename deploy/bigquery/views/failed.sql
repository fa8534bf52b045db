-- Why images have no prediction.
SELECT code, COUNT(*) AS images, MIN(image) AS example
FROM `DATASET.failures`
GROUP BY code
