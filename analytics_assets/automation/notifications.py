"""Notifications: a message to a webhook (Slack, or another that takes the same JSON).

A notification never fails or blocks a run: it has a time limit, and an error is returned as text.
"""

import http.client
import json
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 10.0


def post(url: str, text: str, timeout: float = TIMEOUT_SECONDS) -> str | None:
    """Post `{"text": ...}` as JSON.

    Returns:
        None if the webhook accepted it, else what went wrong.
    """
    request = urllib.request.Request(  # noqa: S310  (the settings allow http and https only)
        url,
        data=json.dumps({"text": text}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        return f"the webhook answered {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return f"the webhook could not be reached: {getattr(error, 'reason', error)}"
