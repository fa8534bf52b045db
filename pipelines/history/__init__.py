"""Earlier runs: finds them below a folder, and determines which images they have scored already.

An incremental run joins its listing with theirs by object name and generation, and scores only what is
new or changed.
"""

__all__ = [
    "block_shuffle",
    "incremental",
    "incremental_join",
    "past_audits",
    "past_runs",
]
