"""Verbs of the command that belong to neither job: `card`, `report`, `sample` and `doctor`.

`digitmill.cli` imports the module of a verb when it is called; the module imports a job only in its
function.
"""
