"""A backfill of everything, as "Materialize all" in the graph asks for it, ends at its first run.

Belongs here: which backfills cannot come to their end, and what to do instead. Does not belong
here: backfills of one job.

Dagster cuts a backfill of assets into runs by their partitions. A load is then spread over several
runs, and what reads a finished load refuses to go on, after all days have been loaded. And every
past day would be scored by a model that has seen what followed.
"""

from collections.abc import Iterable

from dagster import DagsterInstance, Failure

from analytics_assets.automation.jobs import LOAD_DAYS, OF_DAYS, JobPlan

BACKFILL_TAG = "dagster/backfill"


def refuse_mixed_backfill(instance: DagsterInstance, run_id: str, plans: Iterable[JobPlan]) -> None:
    """End a run of a backfill that loads days and has assets of the jobs after the load.

    Args:
        instance: where the run and its backfill are recorded.
        run_id: the run, which has not done anything yet.
        plans: the jobs.

    Raises:
        Failure: the message names the jobs to take.
    """
    run = instance.get_run_by_id(run_id)
    backfill_id = run.tags.get(BACKFILL_TAG) if run else None
    backfill = instance.get_backfill(backfill_id) if backfill_id else None
    if backfill is None or not backfill.asset_selection:
        return
    selected = {key.path[-1] for key in backfill.asset_selection}
    jobs = [plan.name for plan in plans if plan.name in OF_DAYS and selected & {*plan.assets}]
    if LOAD_DAYS in jobs and len(jobs) > 1:
        raise Failure(
            f"Nothing was done: this backfill has assets of the jobs {', '.join(jobs)}, which "
            "cannot be built in one. To bring everything up to date, run analytics-assets run; or "
            f"materialize the job {LOAD_DAYS} (on its page, under Jobs) for the days that you "
            "want, and the sensors build what follows."
        )
