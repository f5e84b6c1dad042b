"""Changes what the directory of a zip archive says of a member."""

import struct

FIELDS = {  # where they are in an entry, and how long (APPNOTE 6.3.10, section 4.3.12)
    "version": (6, "<H"),
    "flags": (8, "<H"),
    "compression": (10, "<H"),
    "compressed_size": (20, "<I"),
    "size": (24, "<I"),
    "header": (42, "<I"),
}
NAME = 46


def change(path, member, *, name=None, **fields):
    """Writes fields of the entry of a member, or another name as long as its own."""
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2")
    while not content[entry + NAME :].startswith(member):
        entry = content.index(b"PK\1\2", entry + 1)
    for field, value in fields.items():
        at, encoding = FIELDS[field]
        struct.pack_into(encoding, content, entry + at, value)
    if name is not None:
        content[entry + NAME : entry + NAME + len(name)] = name
    path.write_bytes(content)
