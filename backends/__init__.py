"""What a storage system implements: the contract (`backends.api`), its helpers, and shardgate's own plugins."""
