"""Charts of both jobs' reports: a drawing for page and disk, its numbers, and a line on what it shows."""
