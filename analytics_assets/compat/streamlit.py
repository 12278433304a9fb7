"""Hooks into Streamlit.

Belongs here: what keeps it from asking other machines. Does not belong here: its options
(`dashboards.server`).
"""

from streamlit import net_util


def never_ask_for_the_own_address() -> None:
    """Let no page of another origin make the server ask the internet for its own address.

    Streamlit compares a foreign origin with the machine's addresses, and asks a web service for
    the external one. Without it, such an origin is refused just as well.
    """
    net_util.get_external_ip = lambda: None
    net_util.get_internal_ip = lambda: None
