"""The setting `oidc_issuers`."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    "issuer",
    [
        "https://idp.example.org",
        "https://idp.example.org:8443/realms/x/",
        "http://127.0.0.1:8080/realms/x",
        "http://localhost",
        "http://[::1]:5556/dex",
    ],
)
def test_issuer_is_kept_as_it_is_written(tmp_path: Path, issuer: str) -> None:
    assert load_settings({"oidc_issuers": [issuer]}, {}, base=tmp_path).oidc_issuers == (issuer,)


@pytest.mark.parametrize(
    "issuer",
    [
        "idp.example.org",
        "http://idp.example.org",
        "ftp://localhost",
        "https://",
        "https://user:password@idp.example.org",
        "https://idp.example.org/?tenant=1",
        "https://idp.example.org/#x",
        "https://idp.example.org/*",
        "https://idp.example.org:99999",
        "https://idp.exämple.org",
    ],
)
def test_what_is_no_issuer_stops_the_start(tmp_path: Path, issuer: str) -> None:
    with pytest.raises(SettingsError, match=r"oidc_issuers \(--oidc-issuer\)"):
        load_settings({"oidc_issuers": [issuer]}, {}, base=tmp_path)
