"""Where the files of a source are: a path, or the address of an object store.

Belongs here: that no password is in it. Does not belong here: reading it (`files`).
"""

import re

from analytics_assets.addresses import has_password
from analytics_assets.sources.entry import Entry


def place_of_file(entry: Entry) -> str:
    """The text of an entry; addresses with credentials are refused: errors and pages name them."""
    place = entry.text()
    if has_password(re.sub(r"\{date[^}]*\}", "", place)):
        raise entry.error(
            "credentials do not belong here; put them in the environment. Besides a store's own "
            "variables, such as AWS_SECRET_ACCESS_KEY, fsspec reads FSSPEC_SFTP_PASSWORD and the "
            "like."
        )
    return place
