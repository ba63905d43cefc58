"""The EOS plugin by TLS and mutual TLS: data and namespace go through, and a wrong certificate is told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trustme

from backends.api import BackendError, BucketRecord, ConfigurationError, StorageUnavailable
from backends.testkit.harness import Box
from backends.testkit.sources import content
from backends.testkit.uploading import Upload
from tests.support.eos import Emulator
from tests.support.eos_plugin import ALICE, config_file, opened, prepare
from tests.support.gateway import Gateway

PART = 300_000
SIZES = (0, 4, (1 << 20) + 70_000)

Files = dict[str, str]


def issued(authority: trustme.CA, name: str, directory: Path) -> Files:
    """A certificate and its key as the options name them."""
    pair = authority.issue_cert(name)
    certificate, key = directory / f"{uuid4().hex}.pem", directory / f"{uuid4().hex}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    pair.private_key_pem.write_to_path(str(key))
    return {"certificate": str(certificate), "key": str(key)}


class Certificates:
    """An authority with a certificate of the servers and one of the gateway, and an authority that nobody trusts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca, self.wrong_ca = ({"ca": str(directory / f"{name}.pem")} for name in ("authority", "stranger"))
        authority.cert_pem.write_to_path(self.ca["ca"])
        stranger.cert_pem.write_to_path(self.wrong_ca["ca"])
        self.server = issued(authority, "127.0.0.1", directory)
        self.gateway = issued(authority, "gateway.example.org", directory)
        self.wrong_gateway = issued(stranger, "gateway.example.org", directory)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def started(directory: Path, files: Certificates, *options: str) -> Emulator:
    pair = ("--tls-cert", files.server["certificate"], "--tls-key", files.server["key"])
    return Emulator(directory, *pair, "--layout", "replica:2:adler32", "--quirk", "redirect_https=on", *options)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, files: Certificates) -> Iterator[Emulator]:
    """It asks nobody for a certificate."""
    with started(tmp_path_factory.mktemp("tls"), files) as eos:
        prepare(eos)
        yield eos


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, files: Certificates) -> Iterator[Emulator]:
    """It demands certificates everywhere."""
    demands = ("--tls-ca", files.ca["ca"], "--tls-http-ca", files.ca["ca"])
    with started(tmp_path_factory.mktemp("mutual"), files, *demands) as eos:
        prepare(eos)
        yield eos


def round_trip(eos: Emulator, **options: Any) -> None:
    """Objects, a listing and a multipart upload, through a bucket of its own."""
    with opened(eos, **options) as backend:
        bucket = f"bucket-{uuid4().hex[:12]}"
        backend.create_bucket(ALICE, BucketRecord(name=bucket, created=1))
        box = Box(backend, ALICE, bucket)
        for size in SIZES:
            box.put(f"dir/{size}", content(size))
            assert box.data(f"dir/{size}") == content(size)
        assert box.keys() == sorted(f"dir/{size}" for size in SIZES)
        upload = Upload.begin(box, "large")
        parts = [content(PART), content(PART, 1), content(10, 2)]
        upload.complete(upload.put_all(parts))
        assert box.data("large") == b"".join(parts)
        upload.abort()


def refusal(eos: Emulator, **options: Any) -> BackendError:
    """What stops the start with these options."""
    with pytest.raises(BackendError) as caught, opened(eos, retries=1, **options):
        pass
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("with_certificate", [False, True])
def test_data_go_through_tls(tls: Emulator, files: Certificates, with_certificate: bool) -> None:
    """Servers that demand no certificate do not mind one."""
    settings = {**files.ca, **(files.gateway if with_certificate else {})}
    tls.reset_counters()
    round_trip(tls, tls=settings, http_tls=settings)
    assert not tls.counters().get("fst.leaked_keys")


def test_data_go_through_mutual_tls(mutual: Emulator, files: Certificates) -> None:
    settings = {**files.ca, **files.gateway}
    round_trip(mutual, tls=settings, http_tls=settings)


def test_no_data_go_in_clear_text_where_the_mgm_is_asked_by_https(tls: Emulator, files: Certificates) -> None:
    """EOS's default: the MGM redirects from https to http, with a capability in the URL."""
    with opened(tls, tls=files.ca, http_tls=files.ca, retries=1) as backend:
        bucket = f"bucket-{uuid4().hex[:12]}"
        backend.create_bucket(ALICE, BucketRecord(name=bucket, created=1))
        box = Box(backend, ALICE, bucket)
        box.put("key", b"data")
        tls.quirks(redirect_https=False)
        tls.reset_counters()
        try:
            for size in SIZES:
                with pytest.raises(StorageUnavailable, match=r"redirect-to-https=1.*clear_text_data"):
                    box.put("other", content(size))
            with pytest.raises(StorageUnavailable, match="redirects from https to http"):
                box.data("key")
        finally:
            tls.quirks(redirect_https=True)
        counters = tls.counters()
        assert not [name for name, value in counters.items() if name.startswith("fst.") and value], counters
        # One that is only now and then sent so is asked again.
        fault = tls.fault("redirect_plain_http", count=1)
        assert box.data("key") == b"data"
        assert tls.hits(fault) == 1
        tls.clear_faults()


def test_an_fst_that_clients_are_sent_to_in_clear_text_gets_no_key(tls: Emulator, files: Certificates) -> None:
    tls.quirks(redirect_https=False)
    tls.reset_counters()
    try:
        round_trip(tls, tls=files.ca, http_tls=files.ca, clear_text_data=True)
    finally:
        tls.quirks(redirect_https=True)
    assert not tls.counters().get("fst.leaked_keys")


def test_servers_of_another_authority_are_not_trusted(tls: Emulator, files: Certificates) -> None:
    error = refusal(tls, tls=files.wrong_ca, http_tls=files.ca)
    assert isinstance(error, StorageUnavailable)
    assert "tls.ca or tls.server_name does not fit" in str(error)
    error = refusal(tls, tls=files.ca, http_tls=files.wrong_ca)
    assert isinstance(error, ConfigurationError)
    assert "http_tls" in str(error)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    # Nor are they by the system's authorities, which is what is asked for when no file is named.
    assert "http_tls" in str(refusal(tls, tls=files.ca))


def test_a_certificate_bears_the_name_of_its_server(tls: Emulator, files: Certificates) -> None:
    wrong = {**files.ca, "server_name": "mgm.example.org"}
    assert "tls.ca or tls.server_name does not fit" in str(refusal(tls, tls=wrong, http_tls=files.ca))
    by_name = [url.replace("127.0.0.1", "localhost") for url in tls.mgm_urls]
    assert "http_tls" in str(refusal(tls, tls=files.ca, http_tls=files.ca, mgm=by_name))


@pytest.mark.parametrize("shown", ["none", "wrong"])
def test_who_shows_no_certificate_or_a_wrong_one_is_told_so(mutual: Emulator, files: Certificates, shown: str) -> None:
    right = {**files.ca, **files.gateway}
    without = {**files.ca, **(files.wrong_gateway if shown == "wrong" else {})}
    error = refusal(mutual, tls=without, http_tls=right)
    assert "client certificate? tls.certificate" in str(error)
    error = refusal(mutual, tls=right, http_tls=without)
    assert isinstance(error, ConfigurationError)
    assert "http_tls" in str(error)


def test_clear_text_where_tls_is_expected_is_told(tls: Emulator, files: Certificates) -> None:
    assert "tls.enabled is false" in str(refusal(tls, tls={"enabled": False}, http_tls=files.ca))


def test_https_where_clear_text_is_spoken_is_told(tls: Emulator, files: Certificates) -> None:
    plain = [f"https://127.0.0.1:{port}" for port in tls.fst_ports[:1]]
    assert "http_tls" in str(refusal(tls, tls=files.ca, http_tls=files.ca, mgm=plain))


def test_a_certificate_that_is_refused_later_is_unavailability(tls: Emulator, files: Certificates) -> None:
    """FSTs have certificates of their own, which no start looks at."""
    tls.quirks(redirect_https=False)
    try:
        with opened(tls, tls=files.ca, http_tls=files.ca, retries=1, clear_text_data=True) as backend:
            bucket = f"bucket-{uuid4().hex[:12]}"
            backend.create_bucket(ALICE, BucketRecord(name=bucket, created=1))
            box = Box(backend, ALICE, bucket)
            box.put("key", b"data")
            pool = backend._data._pools[1]
            pool.close()
            pool._context = None  # the system's authorities
            tls.quirks(redirect_https=True)
            for size in SIZES[1:]:
                with pytest.raises(StorageUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                    box.put("other", content(size))
            with pytest.raises(StorageUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                box.data("key")
    finally:
        tls.quirks(redirect_https=True)


@pytest.mark.parametrize("setting", ["tls", "http_tls"])
def test_files_that_cannot_be_used_are_named(tls: Emulator, files: Certificates, setting: str) -> None:
    nonsense = files.directory / "nonsense.pem"
    nonsense.write_text("no certificate", encoding="utf-8")
    other_key = {**files.gateway, "key": files.server["key"]}
    for wrong, option in (
        ({"ca": str(files.directory / "missing.pem")}, "ca"),
        ({"ca": str(nonsense)}, "ca"),
        ({**files.ca, **files.gateway, "key": str(files.directory / "missing.key")}, "key"),
        ({**files.ca, **other_key}, "certificate"),
    ):
        given = {"tls": files.ca, "http_tls": files.ca, setting: wrong}
        error = refusal(tls, **given)
        assert isinstance(error, ConfigurationError)
        assert f"eos: {setting}.{option}: " in str(error)


def test_a_gateway_works_by_mutual_tls(mutual: Emulator, files: Certificates, tmp_path: Path) -> None:
    """Under gevent, and on connections that were idle between two requests."""
    settings = {**files.ca, **files.gateway}
    config = config_file(mutual, tmp_path / "eos.toml", tls=settings, http_tls=settings)
    with Gateway(tmp_path / "data", "--backend", "eos", "--backend-config", str(config), workers=1) as gateway:
        s3 = gateway.s3()
        s3.create_bucket(Bucket="by-mutual-tls")
        for size in (*SIZES, 5 << 20):
            s3.put_object(Bucket="by-mutual-tls", Key="key", Body=content(size))
            assert s3.get_object(Bucket="by-mutual-tls", Key="key")["Body"].read() == content(size)
            assert s3.list_objects_v2(Bucket="by-mutual-tls")["Contents"][0]["Size"] == size
        found = s3.get_object(Bucket="by-mutual-tls", Key="key", Range="bytes=1000-1999999")
        assert found["Body"].read() == content(5 << 20)[1000:2_000_000]
        names = {"Bucket": "by-mutual-tls", "Key": "large"}
        names["UploadId"] = s3.create_multipart_upload(**names)["UploadId"]
        bodies = [content(5 << 20, 1), content(1000, 2)]
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**names, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(bodies, 1)
        ]
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
        assert s3.get_object(Bucket="by-mutual-tls", Key="large")["Body"].read() == b"".join(bodies)
        assert "Traceback" not in gateway.log.read_text(encoding="utf-8")


def test_a_gateway_that_is_not_trusted_says_so_and_does_not_start(
    mutual: Emulator, files: Certificates, tmp_path: Path
) -> None:
    right = {**files.ca, **files.gateway}
    config = config_file(mutual, tmp_path / "eos.toml", tls=right, http_tls=files.ca)
    gateway = Gateway(tmp_path / "data", "--backend", "eos", "--backend-config", str(config), workers=1, wait=False)
    try:
        assert gateway.wait()
    finally:
        gateway.stop()
    said = gateway.log.read_text(encoding="utf-8")
    assert "eos: http_tls: " in said
    assert "Traceback" not in said
