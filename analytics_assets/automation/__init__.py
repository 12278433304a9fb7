"""Jobs, schedules, sensors, freshness policies and notifications."""
