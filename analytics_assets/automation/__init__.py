"""What makes the graph run by itself: jobs, schedules, sensors, freshness, notifications."""
