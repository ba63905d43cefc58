"""The EOS storage system: the wire definition and an emulator of its servers."""
