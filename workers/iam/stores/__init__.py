"""Where identities are kept: stores of named documents, which know nothing of what the documents say."""
