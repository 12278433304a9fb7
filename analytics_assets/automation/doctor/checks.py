"""All checks of the doctor, in the order in which they are made.

Files come before what is read from them: a file that is set aside is begun again by the checks
after it.
"""

from collections.abc import Sequence

from analytics_assets.automation.doctor import environment, files, instance, tables
from analytics_assets.automation.doctor.findings import Check

CHECKS: Sequence[Check] = (
    environment.packages,
    environment.disk,
    environment.sources,
    files.derived_files,
    files.dagster_files,
    files.mlflow_file,
    instance.instance_settings,
    instance.instance_schema,
    instance.daemon,
    instance.runs,
    instance.slots,
    tables.warehouse,
    tables.schema,
    tables.unfinished_loads,
    tables.partitions,
    tables.published,
    environment.backup,
)
