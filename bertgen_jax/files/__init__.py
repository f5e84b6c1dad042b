"""Bytes on disk: paths, atomic writes, strict JSON, memory maps, checksums."""
