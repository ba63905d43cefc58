"""Storage in CERN's EOS: metadata by gRPC from the MGM, data by HTTP from the FSTs; docs/eos.md."""
