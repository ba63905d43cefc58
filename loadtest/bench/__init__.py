"""One fixed set of workloads against any list of S3 endpoints; `python -m loadtest.bench --help`."""
