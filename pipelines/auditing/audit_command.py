"""The command `digitmill audit`; its arguments are the fields of `AuditOptions`."""

from digitmill.commands import answer, verb
from pipelines.auditing.audit_options import AuditOptions
from schemas.errors import ExitCode


@verb(options=AuditOptions)
def audit(options: AuditOptions) -> ExitCode:
    """Say how many of the accepted images of RUN are wrong, and whether its model keeps its promise.

    RUN is a finished run that was scored with --audit N; LABELS is the file that you downloaded from
    its review page, which shows those N images among the others. If there are several runs, you get an answer
    for each, and one for all together. The answer is kept in the run, as audit.json.

    \b
    Examples:
      digitmill score --input scans --audit 200 --output scores
      digitmill review scores
      digitmill audit scores labels.csv
      digitmill audit nights/1 nights/2 nights/3 labels.csv
    """
    from digitmill.storage.names import check_found

    for run in options.runs:
        check_found(run, "run")
    check_found(options.labels, "labels file")
    from pipelines.auditing import audit_job

    found = audit_job.run(options)
    answer(found.table(), found.as_data())
    return found.exit_code
