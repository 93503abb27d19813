"""deploy/helm/halftone, rendered by Helm itself, is what Kubernetes and the service understand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import ROOT

from app.http.api_keys import OPEN_PATHS
from app.settings import PREFIX, Settings, load_settings

helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
schemas = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")

CHART = ROOT / "deploy" / "helm" / "halftone"
KSERVE = yaml.safe_load((ROOT / "deploy" / "kserve" / "inferenceservice.yaml").read_text())
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
# The chart's kubeVersion, and the newest that the schemas know.
VERSIONS = ["1.27", schemas.latest_version()]

BUCKET: dict[str, Any] = {"models": {"url": "s3://models/parts", "secret": "storage"}}
CLAIM: dict[str, Any] = {"models": {"claim": "store"}, "replicas": {"min": 3, "max": 3}}
EVERYTHING: dict[str, Any] = BUCKET | {
    "image": {"repository": "registry.example/halftone", "pullSecrets": [{"name": "registry"}]},
    "replicas": {"queueDepth": 8},
    "settings": {"HALFTONE_MODEL": "parts", "HALFTONE_MAX_UPLOAD_BYTES": "30000000"},
    "apiKeysSecret": "keys",
    "ingress": {
        "host": "halftone.example",
        "className": "nginx",
        "tlsSecret": "certificate",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "30m"},
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "x"}, "keySecret": "one-key"},
}
CASES = {"bucket": BUCKET, "claim": CLAIM, "everything": EVERYTHING}
every_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES)


def render(values: dict[str, Any]) -> dict[str, Any]:
    """Every object of a release that is called `halftone`, by its kind."""
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="halftone", namespace="vision")
    objects = [
        document
        for name, text in texts.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    by_kind = {each["kind"]: each for each in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def pod_of(values: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = render(values)["Deployment"]["spec"]["template"]["spec"]
    return pod


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def settings_of(pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return what the service makes of a Pod's variables: it refuses what it does not know."""
    with monkeypatch.context() as patch:
        for name, value in environment(pod["containers"][0]).items():
            assert name.startswith(PREFIX)
            patch.setenv(name, value)
        return load_settings()


def kserve_pod() -> dict[str, Any]:
    """The predictor's fields that are a Pod's, without those that KServe adds."""
    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
    return {name: each for name, each in KSERVE["spec"]["predictor"].items() if name not in own}


def pods() -> Iterator[dict[str, Any]]:
    yield from map(pod_of, CASES.values())
    yield kserve_pod()


@every_case
def test_helm_finds_nothing_to_complain_about(values):
    report = helm.lint(CHART, values, strict=True)

    assert report["errors"] == []
    # An icon is for catalogues of charts.
    assert {message["error"] for message in report["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize("version", VERSIONS)
@every_case
def test_every_object_is_one_of_kubernetes(values, version):
    objects = render(values)
    objects.pop("ServiceMonitor", None)  # the operator's own kind, of which there is no schema

    assert {"Deployment", "Service", "PodDisruptionBudget"} <= set(objects)
    for each in objects.values():
        schemas.validate(each, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_noticed():
    deployment = render(BUCKET)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(schemas.ValidationError, match="readynessProbe"):
        schemas.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pod_of_the_kserve_example_is_one_of_kubernetes(version):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": kserve_pod()}

    schemas.validate(pod, version, strict=True)


def test_what_is_optional_is_there_only_where_it_was_asked_for():
    always = {"Deployment", "Service", "PodDisruptionBudget"}

    assert set(render(BUCKET)) == always | {"HorizontalPodAutoscaler"}
    assert set(render(CLAIM)) == always
    assert set(render(EVERYTHING)) == set(render(BUCKET)) | {"Ingress", "ServiceMonitor"}


def test_the_service_takes_every_setting(monkeypatch):
    for pod in pods():
        settings = settings_of(pod, monkeypatch)
        if "HALFTONE_API_KEYS_FILE" in environment(pod["containers"][0]):
            assert settings.api_keys_file == Path("/run/halftone/keys")
        assert settings.drain_seconds == 15


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({}, "exactly one of models.url and models.claim"),
        ({"models": {"url": "s3://a/b", "claim": "c"}}, "exactly one of models.url"),
        ({"models": {"url": "bucket/prefix"}}, "models/url|models.url"),
        (BUCKET | {"setings": {}}, "setings"),
        (BUCKET | {"settings": {"HALFTONE_MODELS": "x"}}, "HALFTONE_MODELS"),
        (BUCKET | {"settings": {"HALFTONE_MAX_PIXELS": 50_000_000}}, "HALFTONE_MAX_PIXELS"),
        (BUCKET | {"replicas": {"min": 4, "max": 2}}, "replicas.max"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, what):
    with pytest.raises(helm.HelmError, match=what):
        render(values)


def test_nothing_may_be_written_and_nobody_is_root():
    user = re.search(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.M)
    assert user
    for pod in pods():
        container = pod["containers"][0]["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(user[1])
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["readOnlyRootFilesystem"] is True
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        writable = {
            mount["mountPath"]
            for mount in pod["containers"][0]["volumeMounts"]
            if not mount.get("readOnly")
        }
        assert writable <= {"/tmp", "/cache"}  # noqa: S108  # the container's


def test_kubernetes_kills_only_after_draining_and_finishing(monkeypatch):
    slow = BUCKET | {"settings": {"HALFTONE_DRAIN_SECONDS": "30.5", "HALFTONE_GRACE_SECONDS": "60"}}
    for pod in (*pods(), pod_of(slow)):
        settings = settings_of(pod, monkeypatch)
        needed = settings.drain_seconds + settings.grace_seconds
        assert needed + 4 <= pod["terminationGracePeriodSeconds"] <= needed + 6


def test_probes_ask_what_answers_without_a_key():
    for pod in pods():
        container = pod["containers"][0]
        paths = {
            name: container[name]["httpGet"]["path"].replace("/v2/health/live", "/livez")
            for name in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        assert {container[name]["httpGet"]["path"] for name in paths} <= OPEN_PATHS
        assert paths["startupProbe"] == paths["livenessProbe"] == "/livez"
        assert paths["readinessProbe"] in {"/readyz", "/v2/health/ready"}


@pytest.mark.parametrize(("megabytes", "least", "most"), [(3, 265, 786), (236, 964, 2184)])
def test_memory_follows_the_size_of_the_model(megabytes, least, most):
    resources = pod_of(BUCKET | {"modelMegabytes": megabytes})["containers"][0]["resources"]

    assert resources["requests"]["memory"] == f"{least}Mi"
    assert resources["limits"]["memory"] == f"{most}Mi"
    # The service counts its threads by the limit.
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"] == 2


def test_copies_are_spread_and_never_fewer_than_wanted():
    deployment = render(BUCKET)["Deployment"]["spec"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]

    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert [each["topologyKey"] for each in spread] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    for each in (*spread, deployment):
        selector = each.get("labelSelector") or each["selector"]
        labels = deployment["template"]["metadata"]["labels"]
        assert selector["matchLabels"].items() <= labels.items()


def test_the_number_of_copies_is_one_objects_decision():
    scaled, fixed = render(EVERYTHING), render(CLAIM)
    scaler = scaled["HorizontalPodAutoscaler"]["spec"]

    assert "replicas" not in scaled["Deployment"]["spec"]
    assert fixed["Deployment"]["spec"]["replicas"] == 3
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource", "Pods"]
    assert scaler["metrics"][1]["pods"]["target"]["averageValue"] == "8"
    metrics = render(BUCKET)["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource"]


def test_the_autoscaler_asks_for_a_metric_that_the_service_has():
    metric = render(EVERYTHING)["HorizontalPodAutoscaler"]["spec"]["metrics"][1]["pods"]["metric"]

    source = (ROOT / "app" / "observability" / "metrics.py").read_text(encoding="utf-8")
    assert f'"{metric["name"]}"' in source


def test_models_come_from_the_bucket_into_a_cache_or_from_the_claim():
    bucket, claim = pod_of(BUCKET), pod_of(CLAIM)

    assert environment(bucket["containers"][0])["HALFTONE_MODELS"] == "s3://models/parts"
    assert environment(bucket["containers"][0])["HALFTONE_CACHE"] == "/cache"
    assert bucket["containers"][0]["envFrom"] == [{"secretRef": {"name": "storage"}}]
    assert {"name": "cache", "emptyDir": {}} in bucket["volumes"]
    assert environment(claim["containers"][0])["HALFTONE_MODELS"] == "/models"
    assert "envFrom" not in claim["containers"][0]
    assert claim["volumes"][1] == {
        "name": "models",
        "persistentVolumeClaim": {"claimName": "store", "readOnly": True},
    }


def test_prometheus_finds_the_service_under_the_name_that_the_alerts_ask_for():
    objects = render(EVERYTHING)
    monitor, service = objects["ServiceMonitor"]["spec"], objects["Service"]
    labels = service["metadata"]["labels"]

    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "halftone"
    assert 'job="halftone"' in (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["endpoints"][0]["authorization"] == {
        "credentials": {"name": "one-key", "key": "key"}
    }


def test_commands_of_the_page_make_copies():
    commands = re.findall(r"helm (?:install|upgrade) .*?(?<!\\)\n", PAGE, re.DOTALL)

    assert commands
    values: dict[str, Any] = {}
    for command in commands:
        assert " deploy/helm/halftone" in command
        values = values if "--reuse-values" in command else {}
        for kind, expression in re.findall(r"--(set|set-string) (\S+)", command):
            parse = helm.parse_set_string if kind == "set" else helm.parse_set_string_values
            values = merged(values, parse(expression))
        assert "Deployment" in render(values)


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """What Helm makes of one --set after another."""
    both = values.keys() & more.keys()
    return values | more | {name: merged(values[name], more[name]) for name in both}
