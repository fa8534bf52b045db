"""`python -m pipelines.review` is `digitmill review`."""

from digitmill.commands import main
from pipelines.review.review_command import review

if __name__ == "__main__":
    main(review)
