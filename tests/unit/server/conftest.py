import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from serving import Server

Start = Callable[..., Server]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with ordinary limits for all tests of a test process."""
    running = Server(tmp_path_factory.mktemp("wire"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers of the test's own."""
    running: list[Server] = []

    def begin(settings: str = "", unix: bool = False, **variables: str) -> Server:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(Server(folder, settings, unix, **variables))
        return running[-1]

    yield begin
    for server in running:
        server.stop()
