"""gunicorn's configuration of one shard: the same under `shardgate serve`, systemd, docker and `gunicorn -c`.

What it contains is computed from the gateway's settings (SHARDGATE_* variables and the file that SHARDGATE_CONFIG
names), see docs/settings.md. A deployment that needs more of gunicorn's own settings appends them below.
"""

from workers.gunicorn_conf import configuration

globals().update(configuration())
