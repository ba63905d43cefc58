"""The image, the compose file and the Kubernetes manifests: valid by their schemas, and in step with the project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from dispatcher.cli import cli
from workers.settings import load_settings

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
KUBERNETES = DEPLOY / "kubernetes"
VERSION = "1.33"
"""Of Kubernetes: the oldest that its project still mends today is no older."""


def documents(file: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(file.read_text()) if found is not None]


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(KUBERNETES.glob("*.yaml")):
        if file.name != "kustomization.yaml":
            for found in documents(file):
                yield f"{found['kind']}-{found['metadata']['name']}", found


MANIFESTS = list(manifests())


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, found in MANIFESTS:
        if found["kind"] in ("Deployment", "StatefulSet"):
            yield name, found["spec"]["template"]["spec"]


PODS = dict(pods())


# -- Docker


def test_hadolint_finds_nothing_in_the_image() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None, "install the extra `test`"
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_gets_every_package_of_the_project() -> None:
    text = DOCKERFILE.read_text()
    admitted = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert admitted[1] == "*"
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in source.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in admitted
    for package in ("dispatcher", "workers", "backends"):
        assert re.search(rf"^COPY {package} ", text, re.MULTILINE)
    for name, value in re.findall(r"\b(SHARDGATE_[A-Z_]+)=(\S+)", text):
        load_settings({}, {name: value})


def test_compose_is_valid_and_starts_commands_that_exist() -> None:
    file = DEPLOY / "docker" / "compose.yaml"
    found = yaml.safe_load(file.read_text())
    parsed = compose_spec.PyCompose.from_json(json.dumps(found))
    parsed.validate()
    services = found["services"]
    assert set(parsed.service_names()) == {"redis", "shard1", "shard2", "dispatcher", "statsd"}
    for name in ("shard1", "shard2", "dispatcher"):
        service = services[name]
        command = cli.commands[service["command"][0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in service["command"] if word.startswith("--")} <= options
        settings = load_settings({}, dict(service["environment"]))
        assert settings.redis_url == "redis://redis:6379/0"
        assert int(service["stop_grace_period"].removesuffix("s")) > settings.graceful_timeout
    subnet = found["networks"]["fleet"]["ipam"]["config"][0]["subnet"]
    assert services["shard1"]["environment"]["SHARDGATE_TRUSTED_PROXIES"] == subnet
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in found["volumes"] or (file.parent / source).resolve().exists()
        # Nothing but the loopback address of the machine is published.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("file", [DEPLOY / "docker" / "secrets.env.example", KUBERNETES / "secrets.env.example"])
def test_examples_of_secrets_name_the_keys_of_a_fleet(file: Path) -> None:
    lines = [line.partition("=")[0] for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["SHARDGATE_ACCESS_KEY", "SHARDGATE_SECRET_KEY", "SHARDGATE_MASTER_KEY"]


# -- Kubernetes


@pytest.mark.parametrize(("name", "manifest"), MANIFESTS, ids=[name for name, _ in MANIFESTS])
def test_manifests_fit_the_schemas_of_kubernetes(name: str, manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_wrong_manifest_does_not_fit() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_kustomizations_name_files_that_exist_and_leave_none_out() -> None:
    for file in sorted(DEPLOY.rglob("kustomization.yaml")):
        (found,) = documents(file)
        for name in found.get("resources", ()):
            there = file.parent / name
            assert there.is_file() or (there / "kustomization.yaml").is_file()
        for generator in found.get("configMapGenerator", ()):
            assert all((file.parent / name).is_file() for name in generator["files"])
        for generator in found.get("secretGenerator", ()):
            assert all((file.parent / f"{name}.example").is_file() for name in generator["envs"])
        for patch in found.get("patches", ()):
            assert (file.parent / patch["path"]).is_file()
    resources = documents(KUBERNETES / "kustomization.yaml")[0]["resources"]
    assert {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"} <= set(resources)


def test_names_lead_to_what_there_is() -> None:
    configurations = {
        generator["name"]
        for file in DEPLOY.rglob("kustomization.yaml")
        for generator in documents(file)[0].get("configMapGenerator", ())
    }
    claims = {found["metadata"]["name"] for _, found in MANIFESTS if found["kind"] == "PersistentVolumeClaim"}
    labels = {
        found["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for _, found in MANIFESTS
        if found["kind"] in ("Deployment", "StatefulSet")
    }
    services = {found["metadata"]["name"] for _, found in MANIFESTS if found["kind"] == "Service"}
    for pod in PODS.values():
        volumes = {volume["name"] for volume in pod.get("volumes", ())} | {"data"}
        for volume in pod.get("volumes", ()):
            assert volume.get("configMap", {}).get("name") in {None, *configurations}
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    for _, found in MANIFESTS:
        if found["kind"] == "Service":
            assert found["spec"]["selector"]["app.kubernetes.io/name"] in labels
        if found["kind"] == "PodDisruptionBudget":
            assert found["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] in labels
        if found["kind"] == "NetworkPolicy":
            assert found["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] in labels
        if found["kind"] == "HorizontalPodAutoscaler":
            target = found["spec"]["scaleTargetRef"]
            assert f"{target['kind']}-{target['name']}" in PODS
        if found["kind"] == "StatefulSet":
            assert found["spec"]["serviceName"] in services


@pytest.mark.parametrize(
    ("pod", "command"), [("Deployment-shardgate-shard", "shard"), ("Deployment-shardgate-dispatcher", "dispatcher")]
)
def test_pods_start_commands_with_settings_that_exist(pod: str, command: str) -> None:
    found = PODS[pod]
    container = found["containers"][0]
    assert container["args"] == [command, "--config", f"/etc/shardgate/{command}.toml"]
    assert command in cli.commands
    environ = {one["name"]: one.get("value", "x") for one in container.get("env", ()) if one["name"] != "POD_IP"}
    environ = {name: value.replace("$(POD_IP)", "192.0.2.1") for name, value in environ.items()}
    settings = load_settings({}, environ, KUBERNETES / f"{command}.toml")
    assert settings.redis_url == "redis://shardgate-redis:6379/0"
    assert found["terminationGracePeriodSeconds"] > settings.graceful_timeout
    # A variable SHARDGATE_PORT of a service's making would be taken for a setting.
    assert found["enableServiceLinks"] is False
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["s3"] == settings.port
    exporter = found["containers"][1]
    assert f"--statsd.listen-udp={settings.statsd_host}:{settings.statsd_port}" in exporter["args"]
    for one in found["containers"]:
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(settings.state_dir) in mounts


def test_probes_ask_what_is_answered() -> None:
    shard = PODS["Deployment-shardgate-shard"]["containers"][0]
    assert shard["readinessProbe"]["httpGet"]["path"] == shard["startupProbe"]["httpGet"]["path"] == "/-/ready"
    assert shard["livenessProbe"]["httpGet"]["path"] == "/-/live"
    dispatcher = PODS["Deployment-shardgate-dispatcher"]["containers"][0]
    assert dispatcher["readinessProbe"]["httpGet"]["path"] == "/-/dispatcher"
    assert "/-/dispatcher" in (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
