"""Slurm: a batch script that starts one worker per node with `srun`."""

import shlex
from collections.abc import Iterator
from typing import Final

from schemas.errors import ExitCode
from trainer.cluster import tf_config
from trainer.submission.cluster_options import SlurmOptions
from trainer.submission.request import ENTRY_POINT, Request, run_tool

_REQUEUES: Final = 20
_NOTICE: Final = 180
"""Seconds before the time limit at which workers get SIGTERM."""

_BODY: Final = """
set -euo pipefail
{setup}
# Slurm names nodes in short, gpu[01-04]; TensorFlow takes them one by one. The port is the job's own, for
# jobs may share a node; and each worker's own, for tasks may.
port=${{DIGITMILL_PORT:-$((20000 + SLURM_JOB_ID % 10000))}}
workers=""
number=0
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  workers="${{workers:+$workers,}}$node:$((port + number))"
  number=$((number + 1))
done
export {variable}="$workers"

# srun starts no task a second time, and a worker without the others is of no use: all end, and the job is
# queued again, to resume from the newest checkpoint. Since Slurm 22.05 srun does not inherit the cores.
status=0
srun --kill-on-bad-exit=1 --cpus-per-task={cpus} {command} || status=$?

# {saved}: stopped by a time limit or a preemption, and saved. Above 128: ended by a signal.
if [ "$status" -gt 128 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def script(request: Request, options: SlurmOptions) -> str:
    """Return the batch script; relative paths work, since nodes run it in the folder of submission."""
    directives = "\n".join(f"#SBATCH --{directive}" for directive in _directives(request, options))
    command = shlex.join([options.python, *ENTRY_POINT[1:], *request.flags])
    body = _BODY.format(
        setup="\n".join(options.setup),
        variable=tf_config.WORKERS,
        command=command,
        cpus=_cpus(request, options),
        saved=int(ExitCode.TERMINATED),
        requeues=_REQUEUES,
    )
    return f"#!/bin/bash\n{directives}\n{body}"


def submit(request: Request, options: SlurmOptions) -> str:
    """Submit the script with sbatch and return what it prints; raise UserError if it fails."""
    return run_tool("sbatch", stdin=script(request, options))


def _directives(request: Request, options: SlurmOptions) -> Iterator[str]:
    yield f"job-name={request.name}"
    yield f"nodes={request.workers}"
    yield "ntasks-per-node=1"
    if request.gpus:
        yield f"gpus-per-node={request.gpus}"
    yield f"cpus-per-task={_cpus(request, options)}"
    if options.partition is not None:
        yield f"partition={options.partition}"
    if options.time is not None:
        yield f"time={options.time}"
    yield f"signal=TERM@{_NOTICE}"
    yield "requeue"
    yield "open-mode=append"
    yield f"output={request.name}-%j.log"


def _cpus(request: Request, options: SlurmOptions) -> str:
    return options.cpus or request.default_cpus
