# Compiles Python files as `py_compile` does, all in one process. Each line of the input has, in hexadecimal numbers
# and separated by spaces: the source, the file to make, the name that the code records, the level of optimisation,
# and how the file is checked (time, hash or unchecked-hash).
import importlib._bootstrap_external as external
import _imp
import os
import sys

magic = int.from_bytes(external.MAGIC_NUMBER, "little")
for line in sys.stdin.buffer:
    source, target, name, level, check = [bytes.fromhex(word.decode()) for word in line.split(b" ")]
    try:
        with open(source, "rb") as file:
            data = file.read()
            found = os.fstat(file.fileno())
        # A name that something else refers to, too, is written otherwise.
        known_as = os.fsdecode(name)
        code = compile(data, known_as, "exec", dont_inherit=True, optimize=int(level))
        if check == b"time":
            made = external._code_to_timestamp_pyc(code, int(found.st_mtime), found.st_size)
        else:
            made = external._code_to_hash_pyc(code, _imp.source_hash(magic, data), check == b"hash")
        with open(target, "wb") as file:
            file.write(made)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        print(os.fsdecode(source), error)
