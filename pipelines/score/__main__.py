"""`python -m pipelines.score` is `digitmill score`."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()
    from digitmill.commands import main
    from pipelines.score.score_command import score

    main(score)
