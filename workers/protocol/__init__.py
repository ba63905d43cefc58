"""S3 on the wire: signatures, bodies, checksums, documents, errors, ranges and conditions.

Pure functions and classes without I/O; nothing here knows the web framework, the event loop or a backend.
"""
