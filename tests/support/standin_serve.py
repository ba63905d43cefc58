"""`shardgate serve` with the stand-in application: python standin_serve.py GUNICORN_CONF DIR PORT."""

import os
import sys
from pathlib import Path

from dispatcher.processes import SupervisionError
from dispatcher.supervisor import Supervisor
from workers.settings import Settings, SettingsError, load_settings


def main() -> int:
    conf, directory, port = sys.argv[1:4]

    def read() -> Settings:
        return load_settings({"directory": directory, "port": port}, os.environ)

    try:
        return Supervisor(read(), reload_settings=read, gunicorn_conf=Path(conf)).run()
    except (SupervisionError, SettingsError) as error:
        sys.stderr.write(f"shardgate: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
