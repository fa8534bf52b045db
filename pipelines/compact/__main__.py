"""`python -m pipelines.compact` is `digitmill compact`."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()
    from digitmill.commands import main
    from pipelines.compact.compact_command import compact

    main(compact)
