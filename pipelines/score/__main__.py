"""`python -m pipelines.score` is `digitmill score`."""

from digitmill.commands import main
from pipelines.score.score_command import score

if __name__ == "__main__":
    main(score)
