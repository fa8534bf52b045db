"""Worker processes on one machine, and how they get their work.

A Python process scores on hardly more than one CPU, and Beam's in-process runner is one process. So a local
run that is large enough starts as many worker processes as the machine can hold (`choice`), and the pipeline
passes its work items to them:

    +-------------------------+           +---------------------+           +--------------------------+
    | list                    |  ItemRef  | score               |  submit   | WorkerPool               |
    |   ListInputs, or Create | --------> |   ScoreWorkItem     | --------> |   one process per CPU,   |
    |   of a frozen listing   |           |                     | <-------- |   each with its model    |
    +-------------------------+           +---------------------+  digest   +--------------------------+

The first two boxes are steps of the Beam pipeline. While the launcher lists, they are fused in one stage:
`ScoreWorkItem.process` submits each work item as soon as it is listed, and `finish_bundle` waits until all
are written. With a frozen listing, as in a resumed run, and on other runners the boxes are the same, but the
runner spreads the work items between the first two. On other runners and in small runs the third box is a
`LocalScorer`: threads of the process that runs the second.
"""

__all__ = [
    "choice",
    "pool",
]
