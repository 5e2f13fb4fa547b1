"""The web page's server, asked over a real socket: its answers, and what it refuses."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import jsonschema
import pytest
from servers import web_server
from typer.testing import CliRunner

import bayesnet
from bayesnet.cli import app as cli
from bayesnet.explorer.api import FIELDS
from bayesnet.explorer.openapi import EXAMPLES

FINDINGS = {"age": 34, "rest_response": "worse", "fever": {"absent": 0.9, "present": 0.1}}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("uvicorn", reason="the server's tests need pip install 'bayesnet[web]'")
    with web_server() as url:
        yield urlsplit(url).netloc


def send(address, method, path, body=None, headers=JSON):
    connection = http.client.HTTPConnection(address, timeout=20)
    text = body if isinstance(body, str | bytes | None) else json.dumps(body)
    connection.request(method, path, text, dict(headers))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def ask(address, question, body, headers=JSON):
    response, content = send(address, "POST", f"/v1/{question}", body, headers)
    return response.status, json.loads(content)


def through_json(data):
    return json.loads(json.dumps(data))


def test_answers_are_pythons(address, model):
    diagnosis = model.diagnose(FINDINGS)
    status, found = ask(address, "diagnose", {"findings": FINDINGS})
    assert status == 200
    assert found["causes"] == through_json(diagnosis.to_dict()["causes"])
    assert found["triage"] == through_json(diagnosis.triage.to_dict())
    status, found = ask(address, "next", {"findings": FINDINGS, "kinds": ["test"], "top": 3})
    assert [f["finding"] for f in found["findings"]] == list(diagnosis.next(["test"])["finding"][:3])
    cause = "axial_spondyloarthritis"
    status, found = ask(address, "explain", {"findings": FINDINGS, "cause": cause})
    assert found["sentence"] == diagnosis.why(cause).sentence()
    status, found = ask(address, "whatif", {"findings": FINDINGS, "set": {"hla_b27": "positive"},
                                            "do": {"poor_sleep": "absent"}})
    then = model.diagnose({**FINDINGS, "hla_b27": "positive"})
    row = next(r for r in found["observed"] if r["cause"] == cause)
    assert row["posterior_then"] == then[cause].posterior
    assert found["forced"]


@pytest.mark.parametrize("question", sorted(FIELDS))
def test_openapi_describes_every_answer(address, question):
    api = json.loads(send(address, "GET", "/openapi.json")[1])
    post = api["paths"][f"/v1/{question}"]["post"]
    schema = {**post["requestBody"]["content"]["application/json"]["schema"],
              "components": api["components"]}
    example = EXAMPLES[question][1]
    jsonschema.validate(example, schema)
    status, found = ask(address, question, example)
    assert status == 200
    assert "not a medical device" in found["disclaimer"].lower()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example, "patient": 1}, schema)
    assert ask(address, question, {**example, "patient": 1})[0] == 422


@pytest.mark.parametrize("findings", [
    {"fevr": True}, {"fever": "high"}, {"age": 12}, {"fever": {"present": -1}}, {"fever": [1]},
])
def test_mistakes_have_the_message_of_the_command_line(address, findings, tmp_path):
    status, found = ask(address, "diagnose", {"findings": findings})
    assert status == 422
    patient = tmp_path / "patient.json"
    patient.write_text(json.dumps(findings), encoding="utf-8")
    said = CliRunner().invoke(cli, ["diagnose", str(patient)], env={"COLUMNS": "400"})
    assert said.exit_code == 2
    for problem in found["error"]["problems"]:
        assert problem["message"] in " ".join(said.output.split())


@pytest.mark.parametrize(("question", "body", "words"), [
    ("diagnose", "{", "valid JSON"),
    ("diagnose", "[1]", "JSON object"),
    ("diagnose", b'{"findings": {}}\xff', "UTF-8"),
    ("diagnose", "{}", "'findings' is missing"),
    ("diagnose", '{"findings": {"age": NaN}}', "write null"),
    ("diagnose", '{"findings": {"fever": {"absent": 1e999, "present": 1}}}', "fever"),
    ("diagnose", '{"findings": {"age": 1e999}}', "age"),
    ("diagnose", '{"findings": {}, "findings": {}}', "findings"),
    ("diagnose", {"findings": []}, "a mapping"),
    ("diagnose", "[" * 30000, "valid JSON"),
    ("diagnose", '{"findings": {"age": ' + "9" * 5000 + "}}", ""),
    ("next", {"findings": {}, "by": "informatio"}, "Did you mean"),
    ("next", {"findings": {}, "kinds": ["tests"]}, "test"),
    ("next", {"findings": {}, "top": 0}, "1 or more"),
    ("explain", {"findings": {}}, "'cause' is missing"),
    ("explain", {"findings": {}, "cause": "spinal_stenosi"}, "spinal_stenosis"),
    ("whatif", {"findings": {}}, "what to change"),
    ("whatif", {"findings": {}, "do": {"fever": "present"}}, "fever"),
    ("view", {"findings": {}, "chosen": "nothing"}, "nothing"),
])
def test_malformed_requests_are_422(address, question, body, words):
    status, found = ask(address, question, body)
    assert status == 422
    assert words in found["error"]["message"]
    assert "disclaimer" in found


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:8000"}, {"Host": ""},
    {"Origin": "http://evil.example"}, {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
])
def test_other_hosts_and_origins_are_refused(address, headers):
    status, found = ask(address, "diagnose", {"findings": {}}, {**JSON, **headers})
    assert status == 403
    assert "causes" not in found


def test_own_host_and_origin_are_served(address):
    port = address.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        headers = {**JSON, "Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert ask(address, "diagnose", {"findings": {}}, headers)[0] == 200


def test_bodies_are_bounded_and_json(address):
    large = {"findings": {"fever": "x" * 70_000}}
    assert ask(address, "diagnose", large)[0] == 413
    chunks = iter([b'{"findings": {"fever": "', *[b"x" * 1000] * 70, b'"}}'])
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("POST", "/v1/diagnose", chunks, JSON, encode_chunked=True)
    assert connection.getresponse().status == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert ask(address, "diagnose", {"findings": {}}, {"Content-Type": kind})[0] == 415


def test_pages_load_nothing_from_elsewhere(address):
    for path in ("/", "/docs", "/static/explorer.js", "/static/explorer.css", "/v1/model"):
        response, content = send(address, "GET", path)
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in response.headers
        if path.startswith("/static") or path in ("/", "/docs"):
            assert b"https://" not in content
    assert send(address, "GET", "/static/../server.py")[0].status == 404
    assert send(address, "GET", "/v1/diagnose")[0].status == 405


def test_slow_answers_end(model):
    """A question that takes longer than the limit is answered 503, whatever it is doing."""
    from bayesnet.explorer import server

    class Slow:
        def __getattr__(self, name):
            return getattr(model, name)

        def diagnose(self, findings):
            time.sleep(0.4)
            return model.diagnose(findings)

    application = server.app(Slow(), time_limit=0.05)
    sent = []

    async def receive():
        return {"type": "http.request", "body": b'{"findings": {}}', "more_body": False}

    async def send_message(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/diagnose", "raw_path": b"/v1/diagnose",
             "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
             "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")]}
    # A thread of its own: the browser tests' event loop may be running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, application(scope, receive, send_message)).result()
    assert sent[0]["status"] == 503
    assert b"not answered within" in sent[1]["body"]


def test_missing_extra_says_what_to_install():
    error = bayesnet.MissingExtraError("the web page", "web")
    assert str(error) == "the web page needs more packages: pip install 'bayesnet[web]'"


def test_address_in_use_is_said(address):
    port = address.rpartition(":")[2]
    said = CliRunner().invoke(cli, ["serve", "--port", port], env={"COLUMNS": "400"})
    assert said.exit_code == 2
    assert "cannot be served" in said.output
