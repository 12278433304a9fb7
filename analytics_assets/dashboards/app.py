"""The script that Streamlit runs for each reader and each change of a filter.

Belongs here: nothing but the call. Does not belong here: what is shown (`site`).
"""

from analytics_assets.dashboards.site import show

show()
