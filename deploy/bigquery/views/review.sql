-- What a person should look at. Ask for the least certain ones by ORDER BY confidence LIMIT n: a view that sorted
-- would sort all rows for every question.
SELECT image, digit, confidence, second_digit, second_confidence, reason
FROM `DATASET.predictions`
WHERE decision = 'review'
