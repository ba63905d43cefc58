"""An emulator of EOS: one process with the servers that a gateway meets, and with their semantics and faults.

It has the MGM's gRPC namespace service, the MGM's HTTP end, two or more FSTs and an administration end that injects
faults. It knows nothing of the gateway and runs by itself: `python -m backends.eos.emulator`.
docs/eos-emulator.md describes it.
"""
