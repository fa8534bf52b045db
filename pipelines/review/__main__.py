"""`python -m pipelines.review` is `digitmill review`."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()
    from digitmill.commands import main
    from pipelines.review.review_command import review

    main(review)
