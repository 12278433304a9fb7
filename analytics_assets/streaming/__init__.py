"""Events of a stream: from Kafka or files to the lake, to live numbers and to alerts.

An extra (`analytics_assets[streaming]`): nothing else imports it but the command line.
"""
