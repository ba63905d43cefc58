"""The S3 endpoint that the client tests talk to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an S3 service listens (``http://host:port``) and the credentials of its root user."""

    url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def address(self) -> str:
        """``host:port``."""
        return urlsplit(self.url).netloc

    def environment(self) -> dict[str, str]:
        """Variables for a client program; nothing of the user's own AWS configuration gets through."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "RCLONE_"))}
        return {
            **kept,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "LC_ALL": "C.UTF-8",
            "PYTHONUTF8": "1",
        }


def external_endpoint(environ: Mapping[str, str]) -> Endpoint | None:
    """The endpoint named by ``SHARDGATE_TEST_ENDPOINT``, ``…_ACCESS_KEY`` and ``…_SECRET_KEY``; None without."""
    url = environ.get("SHARDGATE_TEST_ENDPOINT")
    if not url:
        return None
    return Endpoint(
        url=url.rstrip("/"),
        access_key=environ["SHARDGATE_TEST_ACCESS_KEY"],
        secret_key=environ["SHARDGATE_TEST_SECRET_KEY"],
        region=environ.get("SHARDGATE_TEST_REGION", "us-east-1"),
    )
