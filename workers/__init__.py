"""What runs in every worker process: the S3 front of a storage system."""
