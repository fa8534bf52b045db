"""`python -m pipelines.compact` is `digitmill compact`."""

from digitmill.commands import main
from pipelines.compact.compact_command import compact

if __name__ == "__main__":
    main(compact)
