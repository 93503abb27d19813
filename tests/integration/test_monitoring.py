"""deploy/monitoring against the real service, with the real promtool and the real Prometheus."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from commands import ROOT, run
from patience import PATIENCE_S, until
from prometheus_client.parser import text_string_to_metric_families
from service_process import Service, free_port, running

MONITORING = ROOT / "deploy" / "monitoring"
IMAGE = ROOT / "models" / "digits" / "1" / "probe" / "00.png"
ENOUGH_FOR_DRIFT = 60
KEY = "a key for Prometheus"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    text = (MONITORING / "grafana" / "dashboards" / "halftone.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def dashboard_queries() -> dict[str, str]:
    """Title → query, as Grafana would send it for the last minute of everything."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".*")
        .replace("$model", ".*")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }


def command(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here (Debian: apt-get install prometheus)")
    return found


def promtool(*arguments: str) -> str:
    done = run(command("promtool"), *arguments, cwd=MONITORING)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The shipped model, after some predictions and a refusal."""
    with running(ROOT / "models") as service:
        service.wait_until_ready()
        image = IMAGE.read_bytes()
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client:
            for _ in range(ENOUGH_FOR_DRIFT):
                assert client.post("/predict", content=image).status_code == 200
            assert client.post("/predict", content=b"no image").status_code == 415
            until(lambda: "halftone_drift{" in client.get("/metrics").text)
        yield service


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_S)

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait_for(self, expression: str) -> None:
        """Wait until the expression has a result."""
        until(
            lambda: self._answers(expression),
            lambda: self._client.get("/api/v1/targets").text,
            0.05,
        )

    def _answers(self, expression: str) -> bool:
        try:
            if self._client.get("/-/ready").status_code != 200:
                return False
        except httpx.TransportError:  # it has not begun to listen
            return False
        return bool(self.query(expression))

    def close(self) -> None:
        self._client.close()


@contextmanager
def scraping(service: Service, folder: Path, key_file: Path | None = None) -> Iterator[Prometheus]:
    """Run Prometheus on the shipped configuration: only its target and its patience differ."""
    binary = command("prometheus")
    shutil.copy(MONITORING / "alerts.yml", folder)
    text = (MONITORING / "prometheus.yml").read_text()
    for shipped, ours in (
        ("app:8000", httpx.URL(service.url).netloc.decode()),
        ("scrape_interval: 15s", "scrape_interval: 500ms"),
        ("evaluation_interval: 15s", "evaluation_interval: 500ms"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    if key_file is not None:
        text = re.sub(r"# (authorization:|  credentials_file:)", r"\1", text)
        text = text.replace("/etc/prometheus/keys/halftone", str(key_file))
    (folder / "prometheus.yml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(binary, f"--config.file={folder / 'prometheus.yml'}"),
                *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"),
            ],
            stderr=log, stdout=log,
        )  # fmt: skip
    prometheus = Prometheus(f"http://{address}")
    try:
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scraping(service, tmp_path_factory.mktemp("prometheus")) as prometheus:
        prometheus.wait_for('sum_over_time(up{job="halftone"}[1m]) >= 3')
        yield prometheus


def test_configuration_rules_and_their_unit_tests_pass_promtool():
    assert f"{len(alerts())} rules found" in promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


@pytest.mark.parametrize("alert", [rule["alert"] for rule in alerts()])
def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent(alert):
    groups = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    firing = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    asked = {
        (group["name"], bool(test.get("exp_samples")))
        for group in groups
        for test in group["promql_expr_test"]
        if firing in test["expr"]
    }

    assert (f"{alert} fires", True) in asked
    assert (f"{alert} stays silent", False) in asked
    assert (f"{alert} stays silent", True) not in asked


def test_each_alert_says_what_happened_and_what_to_do():
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description", "action"}
        assert all(len(text) > 15 for text in rule["annotations"].values())


def test_every_metric_of_rules_and_dashboard_is_in_a_real_scrape(service):
    text = httpx.get(
        f"{service.url}/metrics", headers={"accept": "text/plain"}, timeout=PATIENCE_S
    ).text
    samples = {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }
    expressions = [rule["expr"] for rule in alerts()] + list(dashboard_queries().values())
    used = set(re.findall(r"\b(?:halftone|process)_[a-z_]+", "\n".join(expressions)))

    assert len(used) > 15
    assert used - samples == set()


def test_every_refusal_code_of_the_rules_is_one_of_the_service():
    from app.http.problems import TABLE

    codes = {row.code for row in TABLE.values()} | {"internal_error"}
    text = "\n".join(rule["expr"] for rule in alerts())
    used = {code for codes in re.findall(r'code=~?"([^"]+)"', text) for code in codes.split("|")}

    assert len(used) > 5
    assert used - codes == set()


def test_prometheus_scrapes_the_service_with_the_shipped_configuration(prometheus):
    (predicted,) = prometheus.query('sum by (model) (halftone_predicted_total{job="halftone"})')

    assert predicted["metric"] == {"model": "digits"}
    assert float(predicted["value"][1]) == ENOUGH_FOR_DRIFT


@pytest.mark.parametrize("title", dashboard_queries())
def test_every_panel_of_the_dashboard_shows_something(prometheus, title):
    assert prometheus.query(dashboard_queries()[title])


def test_a_healthy_service_raises_no_critical_alert(prometheus):
    assert prometheus.query('ALERTS{severity="critical", alertstate="firing"}') == []


@pytest.mark.slow
def test_prometheus_reads_protected_metrics_with_a_key_file(tmp_path):
    command("prometheus")
    digests = tmp_path / "digests"
    digests.write_text(hashlib.sha256(KEY.encode()).hexdigest() + "  prometheus\n")
    (tmp_path / "key").write_text(KEY + "\n")
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    with running(ROOT / "models", api_keys_file=digests) as service:
        service.wait_until_ready()
        with scraping(service, tmp_path / "with", tmp_path / "key") as prometheus:
            prometheus.wait_for('up{job="halftone"} == 1 and halftone_ready == 1')
        with scraping(service, tmp_path / "without") as prometheus:
            prometheus.wait_for('up{job="halftone"} == 0')


def test_grafana_finds_the_data_source_and_the_dashboards_that_it_is_given():
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards/halftone.yml").read_text())[
        "providers"
    ]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    used = {panel["datasource"]["uid"] for panel in dashboard()["panels"] if "targets" in panel}

    assert used == {source["uid"]}
    assert httpx.URL(source["url"]).host in services
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert mounts["./deploy/monitoring/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deploy/monitoring/grafana/provisioning"] == "/etc/grafana/provisioning"


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_monitoring_containers_are_pinned_confined_and_local(name):
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    service, app = compose[name], compose["app"]

    assert service["profiles"] == ["monitoring"]
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for key in ("read_only", "cap_drop", "security_opt", "tmpfs", "restart"):
        assert service[key] == app[key], key
    assert service["user"].split(":")[0] != "0"
    assert service["mem_limit"]
    assert service["pids_limit"]
