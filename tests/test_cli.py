"""The command line as a user meets it: output, JSON, exit codes."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

import bayesnet
from bayesnet.cli import app
from bayesnet.diagnosis.naming import known_as
from bayesnet.errors import EvidenceError
from bayesnet.network import Network, Table, Variable


def run(*args: str, stdin: str = "", columns: int = 160) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bayesnet", *args],
        input=stdin, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"},
    )


@pytest.fixture
def patient(tmp_path: Path) -> str:
    file = tmp_path / "patient.yaml"
    file.write_text("age: 34\nsex: male\nexercise_response: better\nrest_response: worse\n")
    return str(file)


def test_diagnose_in_words(patient):
    done = run("diagnose", patient)
    assert done.returncode == 0, done.stderr
    assert "Leading diagnosis: " in done.stdout
    assert "Axial spondyloarthritis" in done.stdout
    assert "Not a medical device" in done.stdout


def test_diagnose_as_json_is_what_python_says(patient, model):
    data = json.loads(run("diagnose", patient, "--json").stdout)
    result = model.diagnose(
        {"age": 34, "sex": "male", "exercise_response": "better", "rest_response": "worse"}
    )
    assert [c["cause"] for c in data["causes"]] == [r.cause for r in result.results]
    for c in data["causes"]:
        assert c["posterior"] == pytest.approx(result[c["cause"]].posterior, abs=1e-15)
    assert data["disclaimer"]


def test_diagnose_reads_standard_input():
    done = run("diagnose", "-", "--json", stdin='{"age": 70, "cyclic_pain": false}')
    assert json.loads(done.stdout)["findings"] == {"age": 70, "cyclic_pain": False}


def test_diagnose_a_published_case():
    done = run("diagnose", "--case", "wahl-2013")
    assert done.returncode == 0
    assert "Cooper Wahl" in done.stdout
    assert "Published diagnosis: " in done.stdout


@pytest.mark.parametrize(
    ("args", "stdin", "expected"),
    [
        (("diagnose", "-"), '{"feber": true}', "unknown variable 'feber'. Did you mean fever?"),
        (("diagnose", "-"), '{"age": 5}', "age: 5 is outside 18 to 110 years"),
        (("diagnose", "-"), '{"age": 5,}', "standard input:1: is not valid JSON"),
        (("diagnose", "nowhere.yaml"), "", "nowhere.yaml: cannot be read: No such file"),
        (("diagnose",), "", "name a patient file"),
        (("diagnose", "--case", "whal-2013"), "", "Did you mean wahl-2013?"),
        (("diagnose", "-", "--by", "posteriour"), "{}", "Did you mean posterior?"),
        (("diagnose", "-", "-m", "pt_failur"), "{}", "Did you mean pt_failure?"),
        (("query", "nothing.bif"), "", "nothing.bif: no such file or model"),
        (("evaluate", "nothing.jsonl"), "", "nothing.jsonl: cannot be read"),
        (("model", "check", "nowhere"), "", "no model 'nowhere'"),
        (("model", "show", "pt_failure", "feber"), "", "Did you mean fever?"),
    ],
)
def test_bad_input_is_exit_code_2_and_nothing_on_standard_output(args, stdin, expected):
    done = run(*args, stdin=stdin)
    assert done.returncode == 2
    assert done.stdout == ""
    assert expected in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_query_any_network(networks, tmp_path):
    evidence = tmp_path / "e.json"
    evidence.write_text('{"smoke": "yes", "dysp": true}')
    file = str(networks / "asia.bif.gz")
    data = json.loads(run("query", file, "--evidence", str(evidence), "--json").stdout)
    expected = bayesnet.read_network(file).posterior(evidence={"smoke": "yes", "dysp": "yes"})
    assert data["log_evidence"] == pytest.approx(expected.log_evidence)
    assert data["posteriors"]["lung"]["yes"] == pytest.approx(expected["lung"]["yes"], abs=1e-15)
    assert set(data["posteriors"]) == set(expected)
    some = run("query", file, "-v", "lung")
    assert "lung" in some.stdout
    assert "asia" not in some.stdout


def test_query_names_findings_that_clash(networks):
    done = run(
        "query", str(networks / "asia.bif.gz"), "--evidence", "-",
        stdin='{"lung": "yes", "either": "no", "smoke": "yes"}',
    )
    assert done.returncode == 2
    assert "impossible together: lung = yes; either = no" in done.stderr


def test_evaluate_prints_the_promised_json(tmp_path):
    done = run("evaluate", "--json", "--scope", "findings")
    data = json.loads(done.stdout)
    assert {"n", "log_score", "brier", "necessity", "posterior", "likelihood_ratio"} <= set(
        data["summary"]
    )
    for measure in ("necessity", "posterior", "likelihood_ratio"):
        assert {"top_1", "top_3", "top_5", "emergency_recall"} <= set(data["summary"][measure])
        hits = [c["rank"][measure] <= 3 for c in data["cases"]]
        assert data["summary"][measure]["top_3"] == pytest.approx(sum(hits) / len(hits))
    assert data["summary"]["n"] == len(data["cases"]) == 62


def test_evaluate_lists_every_bad_case(tmp_path):
    file = tmp_path / "cases.jsonl"
    file.write_text(
        '{"id": "a", "findings": {"feber": true}, "true_causes": ["gout"]}\n{"id": "b"}\nnot json\n'
    )
    done = run("evaluate", str(file))
    assert done.returncode == 2
    for expected in ("cases.jsonl:1: a: unknown cause 'gout'", "unknown variable 'feber'",
                     "cases.jsonl:2: needs findings", "cases.jsonl:3: is not valid JSON"):
        assert expected in done.stderr


def test_model_commands():
    assert "no errors" in run("model", "check", "pt_failure").stdout
    shown = run("model", "show", "pt_failure", "fever").stdout
    assert "leak" in shown
    assert "noisy_or" in shown
    assert "$defs" in json.loads(run("model", "schema").stdout)


def commands(group=None, path=()):
    group = group or typer.main.get_command(app)
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_every_command_says_what_it_is_for_with_an_example(path, command):
    """One sentence that fits the list of commands; every option in words; an example that calls it."""
    first = command.help.split("\n\n")[0]
    assert first.rstrip().endswith(".")
    assert len(first) < (170 if not path else 130)
    assert " ".join(("bayesnet", *path)) in command.epilog
    for parameter in command.params:
        if parameter.name not in ("help", "version"):
            assert parameter.help, parameter.name


def test_help_is_printed():
    done = run("diagnose", "--help")
    assert done.returncode == 0
    assert "bayesnet diagnose --case wahl-2013" in " ".join(done.stdout.split())


def test_plot_is_written(patient, tmp_path):
    file = tmp_path / "out.svg"
    assert run("diagnose", patient, "--plot", str(file)).returncode == 0
    assert "<svg" in file.read_text()


def test_nothing_is_shown_as_nan(model):
    result = model.diagnose({"pt_failure": None})
    assert all(math.isnan(r.necessity) for r in result.results)
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_flood_of_problems_is_cut_and_counted(tmp_path):
    file = tmp_path / "cases.jsonl"
    file.write_text("no\n" * 500)
    done = run("evaluate", str(file))
    assert done.returncode == 2
    assert "500 problems" in done.stderr
    assert "... and 460 more" in done.stderr


@pytest.mark.parametrize(("command", "headings"), [
    (["attribute"], ["effect", "necessity", "sufficiency", "posterior"]),
    (["next"], ["kind", "bits", "utility", "burden", "decision"]),
    (["sure", "--draws", "20"], ["95 % interval", "of it", "its range", "present then", "flips at"]),
    (["actions", "--all"], ["urgency", "worth", "waiting", "mostly for (right from)"]),
    (["whatif", "--set", "Fever=present", "--do", "fear of movement=absent"],
     ["of it", "probability", "Other serious disease", "Fear of movement"]),
])  # fmt: skip
def test_tables_fit_a_narrow_terminal(command, headings):
    done = run(*command, "--case", "fedorchuk-2016", columns=80)
    assert done.returncode == 0, done.stderr
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    for heading in headings:
        assert heading in done.stdout, heading
    # No word or number is cut: what stands at the margin ends as it does on a wide page.
    wide = set(run(*command, "--case", "fedorchuk-2016", columns=300).stdout.split())
    assert set(done.stdout.split()) <= wide


def test_how_often_triage_alarms():
    done = run("model", "alarms", "--patients", "500", "--most", "5")
    assert done.returncode == 0, done.stderr
    rows = {line[:15].strip(): line.split() for line in done.stdout.splitlines()}
    assert rows["Everybody"][1:4] == ["100", "%", "50"]
    assert rows["what they have"][-3:] == ["emergency", "urgent", "routine"]
    data = json.loads(run("model", "alarms", "--patients", "500", "--most", "5", "--json").stdout)
    assert [g["cause"] for g in data["groups"]][::len(data["groups"]) - 1] == ["everybody", "none"]
    assert "Not a medical device" in data["disclaimer"]


def test_causes_are_named_by_label_too():
    by_id, by_label = (
        run("why", name, "--case", "wahl-2013", "--over", "depression", "--json").stdout
        for name in ("kinesiophobia", "Fear of movement")
    )
    assert json.loads(by_id) == json.loads(by_label)


@pytest.mark.parametrize("args", [
    ("why", "feer of movement", "--case", "wahl-2013"),
    ("plot", "why", "--case", "wahl-2013", "--cause", "feer of movement", "-o", "why.svg"),
])
def test_misspelled_causes_are_met_with_an_id(args):
    done = run(*args)
    assert done.returncode == 2
    assert "no cause 'feer of movement'. Did you mean kinesiophobia?" in done.stderr


def test_strange_causes_are_met_with_the_list(model):
    done = run("why", "zzz", "--case", "wahl-2013")
    assert "no cause 'zzz'. model.causes, or bayesnet model show --role cause, lists the causes." in done.stderr
    listed = run("model", "show", "--role", "cause").stdout
    assert {line.split()[0] for line in listed.splitlines()[1:]} == set(model.causes)
    assert "that is a finding (history)" in run("why", "Fever", "--case", "wahl-2013").stderr


def test_labels_are_taken_for_ids_in_python_too(model):
    result = model.diagnose({"age": 44})
    assert result["fear of MOVEMENT"] is result["kinesiophobia"]
    assert result.do({"Fear of movement": "absent"}).equals(result.do(kinesiophobia="absent"))
    assert result.success_without("Fear of movement") == result.success_without("kinesiophobia")
    with pytest.raises(KeyError, match="Did you mean kinesiophobia"):
        result["kinesiphobia"]


def test_a_label_of_two_variables_is_no_name():
    same = Network([Variable("a", label="Pain"), Variable("b", label="Pain")],
                   {v: Table((), np.array([0.5, 0.5])) for v in "ab"})
    with pytest.raises(EvidenceError, match="write a or b"):
        known_as(same, "pain")


@pytest.mark.parametrize(("columns", "terminal"), [(80, True), (80, False), (300, True)])
def test_ids_are_never_cut(model, columns, terminal):
    env = {"PATH": "/usr/bin:/bin", "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    if terminal:
        env |= {"FORCE_COLOR": "1", "NO_COLOR": "1"}
    for args in ((), ("pt_failure", "cauda_equina")):
        shown = subprocess.run([sys.executable, "-m", "bayesnet", "model", "show", *args], env=env,
                               capture_output=True, text=True, timeout=120, check=True).stdout
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert "…" not in plain
        words = set(re.findall(r"\w+", plain))
        assert set(model.network.parents("cauda_equina")) <= words
        if terminal:
            assert args or max(map(len, plain.splitlines())) <= columns

def test_cases_are_listed(model):
    listed = json.loads(run("cases", "--json").stdout)
    assert len(listed) == 62
    text = " ".join(run("cases", columns=80).stdout.split())
    for c in listed:
        causes = ", ".join(model.network[v].name for v in c["true_causes"])
        assert f"{c['id']} {causes} ({c['urgency']})" in text
        assert c["summary"].split()[-1] in text


@pytest.mark.parametrize("command", [
    ("whatif", "--case", "wahl-2013", "--set", "fever=present", "--set", "fever=absent"),
    ("whatif", "--case", "wahl-2013", "--do", "depression=absent", "--do", "depression=present"),
    ("recalibrate", "kinesiophobia=0.6", "kinesiophobia=0.3", "-o", "out"),
    ("recalibrate", "spinal_stenosis=moderate:0.1,moderate:0.2", "-o", "out"),
    ("recalibrate", "kinesiophobia=0.6", "--given", "fever=present", "--given", "fever=absent", "-o", "out"),
    ("simulate", "-n", "5", "--missing", "0.5", "--missing", "0.1", "-o", "out.csv"),
    ("simulate", "-n", "5", "--missing", "fever=0.5", "--missing", "fever=0.1", "-o", "out.csv"),
    ("simulate", "-n", "5", "--given", "fever=present", "--given", "fever=absent", "-o", "out.csv"),
])
def test_what_is_said_twice_is_a_mistake(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*command)
    assert done.returncode == 2
    said = " ".join((done.stdout + done.stderr).split())
    assert "is given twice" in said or "give one share" in said
    assert not list(tmp_path.iterdir())


def test_a_state_named_twice_is_a_mistake(model):
    with pytest.raises(EvidenceError, match="names 18-34 twice"):
        model.diagnose({"age": {"18-34": 0.2, 30: 0.5, "35-49": 1, "50-64": 1, "65-74": 1, "75+": 1}})
