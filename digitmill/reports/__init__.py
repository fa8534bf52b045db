"""What the reports of both jobs are made of: page, numbers, charts, galleries. Knows neither job."""
