"""What of deploy/ can be checked without the machines that it is for."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from kidsclf.run_command import build_parser

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = CHECKOUT / "deploy"


def test_the_batch_script_is_a_shell_script_and_says_how_it_is_used():
    script = DEPLOY / "slurm/kidsclf.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    said = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "usage: sbatch" in said.stderr


@pytest.mark.parametrize("recipe", ["Dockerfile", "kidsclf.def"])
def test_containers_copy_files_that_are_there(recipe):
    lines = (DEPLOY / "container" / recipe).read_text().splitlines()
    if recipe == "Dockerfile":
        copied = [w for line in lines if line.startswith("COPY ") for w in line.split()[1:-1]]
    else:
        start = lines.index("%files") + 1
        copied = [line.split()[0] for line in lines[start : lines.index("", start)]]
    assert {"pyproject.toml", "constraints.txt", "src"} <= set(copied)
    assert all((CHECKOUT / name).exists() for name in copied)


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict]:
    """The documents of the Kubernetes manifest by their kind."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes/kidsclf.yaml").read_text())
    return {document["kind"]: document for document in documents}


def container(document: dict, *path: str) -> dict:
    for key in path:
        document = document[key]
    (only,) = document["containers"]
    return only


def test_the_manifest_belongs_together(manifest):
    cluster, policy, job = (manifest[k] for k in ("DaskCluster", "NetworkPolicy", "Job"))
    assert cluster["apiVersion"] == "kubernetes.dask.org/v1"
    name = cluster["metadata"]["name"]
    service = cluster["spec"]["scheduler"]["service"]
    assert service["selector"] == {
        "dask.org/cluster-name": name,
        "dask.org/component": "scheduler",
    }
    assert service["type"] == "ClusterIP"  # not reached from outside
    scheduler = container(cluster, "spec", "scheduler", "spec")
    ports = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    assert {p["targetPort"]: p["port"] for p in service["ports"]} == ports
    assert policy["spec"]["podSelector"]["matchLabels"] == {"dask.org/cluster-name": name}
    allowed = [each["podSelector"]["matchLabels"] for each in policy["spec"]["ingress"][0]["from"]]
    assert job["spec"]["template"]["metadata"]["labels"] in allowed
    run = container(job, "spec", "template", "spec")
    assert f"tcp://{name}-scheduler:{ports['tcp-comm']}" in run["command"]


def strict(schema: Any) -> Any:
    """Refuse keys that a schema does not name, as ``kubectl apply`` does."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    open_ended = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & found.keys()
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found |= {} if open_ended else {"additionalProperties": False}
    return found


@pytest.fixture(scope="module")
def operator_schema() -> dict:
    """What the Dask operator takes for a DaskCluster, with the whole of a pod in it."""
    package = importlib.util.find_spec("dask_kubernetes")
    if package is None or package.origin is None:
        pytest.skip("dask-kubernetes is not installed: pip install --no-deps dask-kubernetes")
    charts = Path(package.origin).parent / "operator/deployment/helm/dask-kubernetes-operator"
    definition = yaml.safe_load((charts / "crds/daskcluster.yaml").read_text())
    assert definition["spec"]["group"] == "kubernetes.dask.org"
    (version,) = definition["spec"]["versions"]
    assert version["name"] == "v1"
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    return schema


def test_the_operator_s_own_schema_takes_the_cluster_and_the_pod_of_the_run(
    manifest, operator_schema
):
    checked = jsonschema.Draft202012Validator
    checked(operator_schema).validate(manifest["DaskCluster"])
    pod = operator_schema
    for name in ("spec", "worker", "spec"):
        pod = pod["properties"][name]
    checked(pod).validate(manifest["Job"]["spec"]["template"]["spec"])
    with pytest.raises(jsonschema.ValidationError, match="'imagePolicy' was unexpected"):
        checked(pod).validate({"containers": [{"name": "x", "imagePolicy": "Always"}]})


def test_pods_have_what_they_mount(manifest):
    spec = manifest["DaskCluster"]["spec"]
    assert spec["worker"]["replicas"] > 0
    for pod in (spec["scheduler"]["spec"], spec["worker"]["spec"]):
        claims = {volume["name"] for volume in pod.get("volumes", ())}
        for each in pod["containers"]:
            assert {"name", "image", "command"} <= each.keys()
            assert {mount["name"] for mount in each.get("volumeMounts", ())} <= claims
            assert all(set(one) == {"name", "value"} for one in each["env"])
            assert all(isinstance(one["value"], str) for one in each["env"])


@pytest.mark.parametrize(
    "file",
    ["container/Dockerfile", "container/kidsclf.def", "kubernetes/kidsclf.yaml"],
)
def test_what_was_not_tried_says_so(file):
    assert (DEPLOY / file).read_text().startswith("# Untried: ")


@pytest.mark.parametrize("recipe", ["Dockerfile", "kidsclf.def"])
def test_containers_install_what_was_tested(recipe):
    text = (DEPLOY / "container" / recipe).read_text()
    (install,) = [line for line in text.splitlines() if "pip install" in line]
    assert "-c /opt/kidsclf/constraints.txt" in install
    python = re.search(r"python:(3\.\d+)", text)
    assert python is not None
    needed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python[1] in needed


def test_its_commands_are_commands(manifest):
    run = container(manifest["Job"], "spec", "template", "spec")["command"]
    assert run[0] == "kidsclf"
    build_parser().parse_args(run[1:])
    for role in ("scheduler", "worker"):
        command = container(manifest["DaskCluster"], "spec", role, "spec")["command"]
        assert command[:2] == ["dask", role]
        modules = [command[k + 1] for k, word in enumerate(command) if word.startswith("--preload")]
        assert modules
        assert all(callable(importlib.import_module(name).dask_setup) for name in modules)
        flags = [word for word in command if word.startswith("--")]
        known = subprocess.run(
            [sys.executable, "-m", "dask", role, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert all(flag in known for flag in flags), flags
