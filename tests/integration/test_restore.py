"""A gateway from a copy of its directory, as docs/operating.md describes it: with an empty Redis, on another port."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.gateway import Gateway


def test_a_copy_of_the_directory_is_a_whole_gateway(start_gateway: Callable[..., Gateway], tmp_path: Path):
    first = start_gateway(workers=1)
    client = first.s3()
    client.create_bucket(Bucket="kept")
    client.put_object(Bucket="kept", Key="a/b", Body=b"content", Metadata={"colour": "blue"}, Tagging="k=v")
    upload = client.create_multipart_upload(Bucket="kept", Key="open")["UploadId"]
    etag = client.upload_part(Bucket="kept", Key="open", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]

    copy = tmp_path / "copy"
    # While it works: each object is whole.
    subprocess.run(["cp", "-a", str(first.directory), str(copy)], check=True)
    assert first.stop() == 0
    second = start_gateway(directory=copy, workers=1)
    for name in ("root-credentials.json", "master-key"):
        if (kept := first.state_dir / name).exists():
            shutil.copy2(kept, second.state_dir / name)
    client = second.s3()
    found = client.get_object(Bucket="kept", Key="a/b")
    assert (found["Body"].read(), found["Metadata"]) == (b"content", {"colour": "blue"})
    assert client.get_object_tagging(Bucket="kept", Key="a/b")["TagSet"] == [{"Key": "k", "Value": "v"}]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    client.complete_multipart_upload(Bucket="kept", Key="open", UploadId=upload, MultipartUpload=parts)
    assert client.get_object(Bucket="kept", Key="open")["Body"].read() == b"part"
