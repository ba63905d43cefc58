"""Storage in CERN's EOS: metadata by gRPC from the MGM, data by HTTP from the FSTs; docs/eos.md.

The variable below is read when gRPC is imported, so it is set before any module of this package does that. gRPC's
handlers of a fork start its threads again in the child, also between fork and exec of a subprocess, where gevent has
closed their descriptors: the child dies before it begins.
"""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
