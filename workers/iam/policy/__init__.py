"""The policy language: documents, their conditions and variables, and their evaluation.

`parser.parse_policy` reads and checks a document, `compiler.compile_policy` makes it fast, `decision.decide` beside
this package combines all documents that speak about one request. No I/O happens here.
"""
