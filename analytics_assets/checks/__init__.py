"""Asset checks: families that share one shape, one set of policies and one ledger."""
