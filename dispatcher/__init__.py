"""What stands in front of the workers: the `shardgate` command and the supervision of one host's processes."""
