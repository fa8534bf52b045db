-- What a person should look at, the least certain first.
SELECT image, digit, confidence, second_digit, second_confidence
FROM `DATASET.predictions`
WHERE decision = 'review'
ORDER BY confidence
