"""The way of HAProxy's log to standard error."""

import os
import subprocess
import sys

from dispatcher.log_pipe import LogPipe


def test_what_a_program_writes_arrives_whole(tmp_path):
    with (tmp_path / "log").open("wb") as target:
        pipe = LogPipe(target.fileno())
        script = f"import os\nfor n in range(3000): os.write({pipe.descriptor}, b'line %d\\n' % n)"
        subprocess.run([sys.executable, "-c", script], check=True, pass_fds=[pipe.descriptor])
        pipe.close()
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(3000)]


def test_a_log_that_nobody_reads_stops_nobody():
    reader, writer = os.pipe()
    os.close(reader)
    pipe = LogPipe(writer)
    for _ in range(200):
        os.write(pipe.descriptor, b"x" * 4096)
    pipe.close()
    os.close(writer)
