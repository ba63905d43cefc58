"""IAM and STS: the services that clients ask by the query protocol, one module per family of operations."""
