"""Asset checks: from schemas, and the accounting of rows and money between layers."""
