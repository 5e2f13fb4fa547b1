"""The model folder: reading, writing, and errors with file and line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import yaml

import bayesnet
from bayesnet.errors import ModelFileError
from bayesnet.modelfile import read_model, write_model
from bayesnet.modelfile.schema import json_schema
from bayesnet.shipped import data_file, model_folder

MANIFEST = """\
name: small
title: A small model
version: "1"
population: adults
licence: MIT
disclaimer: For tests.
outcome: failed
studies: {studies}
parts:
  context: [risks.yaml]
  cause: [causes.yaml]
  outcome: [outcome.yaml]
  history: [findings.yaml]
"""
RISKS = """\
sex:
  label: Sex
  group: demographics
  states: [female, male]
  table: {p: {female: 0.5, male: 0.5}, expert: about half}
"""
CAUSES = """\
gout:
  label: Gout
  group: underlying
  odds_ratio:
    prevalence: {p: 0.02, expert: assumed, spread: 100}
    sex: {or: 3, expert: assumed}
strain:
  label: Strain
  group: fallback
  states: [none, mild, severe]
  table: {p: {none: 0.5, mild: 0.3, severe: 0.2}, expert: assumed}
"""
OUTCOME = """\
failed:
  label: Failed
  group: outcome
  noisy_or:
    gout: {p: 0.5, expert: assumed}
    strain: {p: {mild: 0.1, severe: 0.4}, expert: assumed}
    leak: {p: 0.1, expert: assumed}
"""
FINDINGS = """\
redness:
  label: Redness
  group: systemic
  noisy_or:
    expert: assumed
    gout: 0.6
    leak: 0.05
"""


ROOT = Path(__file__).parent.parent


def write_small(path: Path, changed: Mapping[str, str] = MappingProxyType({})) -> Path:
    """The small model as a folder, with some files exchanged."""
    (path / "model.yaml").write_text(
        MANIFEST.format(studies=data_file("evidence.csv").as_posix())
    )
    files = {"risks.yaml": RISKS, "causes.yaml": CAUSES, "outcome.yaml": OUTCOME,
             "findings.yaml": FINDINGS, **changed}
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def change(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def test_the_small_model_answers(folder):
    result = bayesnet.load(folder).diagnose({"redness": True, "sex": "male"})
    assert result["gout"].posterior > result["gout"].prior


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("findings.yaml", "gout: 0.6", "gowt: 0.6",
         "findings.yaml:6: redness: unknown parent 'gowt'. Did you mean gout?"),
        ("findings.yaml", "gout: 0.6", "gout: 1.6",
         "findings.yaml:6: redness: probability 1.6 is outside [0, 1]"),
        ("findings.yaml", "leak: 0.05", "leek: 0.05",
         "findings.yaml:4: redness: noisy_or.leak is missing"),
        ("findings.yaml", "    expert: assumed\n", "",
         "redness: gout has no source: add `studies: [ids]` or `expert:"),
        ("findings.yaml", "expert: assumed", "studies: [INF9999]",
         "findings.yaml:5: redness: no study 'INF9999' in the evidence table."),
        ("findings.yaml", "noisy_or", "noisy_orr",
         "findings.yaml:1: redness: needs exactly one of table, noisy_or"),
        ("findings.yaml", "label: Redness", "lable: Redness",
         "findings.yaml:2: redness: unknown key 'lable'. Did you mean table or label?"),
        ("findings.yaml", "gout: 0.6", "gout: {p: 0.6, stuides: [INF0001]}",
         "findings.yaml:6: redness: unknown key 'stuides'. Did you mean studies?"),
        ("findings.yaml", "gout: 0.6", "gout: often",
         "findings.yaml:6: redness: noisy_or.gout.p: expected a number or a mapping of states to "
         "numbers, not 'often'"),
        ("findings.yaml", "gout: 0.6", "gout: {p: 0.6, spread: lots}",
         "expected a number of patients (spread: 150) or a 95 % interval (spread: [0.4, 0.6]), "
         "not 'lots'"),
        ("findings.yaml", "gout: 0.6", "gout: 0.6\n    gout: 0.5",
         "findings.yaml:7: 'gout' is written twice (first on line 6); keep one"),
        ("findings.yaml", "noisy_or:", "noisy_or: [", "findings.yaml:6: is not valid YAML"),
        ("causes.yaml", "severe: 0.2", "severe: 0.3",
         "causes.yaml:11: strain: the probabilities sum to 1.1 instead of 1"),
        ("causes.yaml", "mild: 0.3", "medium: 0.3",
         "causes.yaml:11: strain: 'medium' is not a state here; expected none, mild, severe."),
        ("causes.yaml", "or: 3", "or: -3", "causes.yaml:1: gout: the odds ratio of sex must be a "
         "positive number"),
        ("outcome.yaml", "{mild: 0.1, severe: 0.4}", "0.3",
         "outcome.yaml:6: failed: strain has several states: give one value for each of mild, "
         "severe"),
        ("outcome.yaml", "mild: 0.1", "none: 0.1",
         "failed: 'none' is not a state of strain here; expected mild, severe. (the first state is "
         "the baseline and has no entry)"),
        ("risks.yaml", "table: {p: {female: 0.5, male: 0.5}, expert: about half}",
         "noisy_or: {redness: 0.3, leak: 0.1, expert: x}", "the arcs form a cycle: "),
        ("model.yaml", "outcome: failed", "outcome: faild",
         "model.yaml:7: unknown outcome 'faild'. Did you mean failed?"),
        ("findings.yaml", "gout: 0.6", "failed: 0.6",
         "findings.yaml:1: redness: depends on the outcome failed, which is to be explained"),
        ("outcome.yaml", OUTCOME[OUTCOME.index("noisy_or"):], "table: {p: 0.3, expert: assumed}",
         "outcome.yaml:1: failed is the outcome: give it two states and a noisy_or of the causes"),
        ("model.yaml", "findings.yaml", "symptoms.yaml", "model.yaml:13: cannot read symptoms.yaml"),
        ("model.yaml", "licence: MIT", "license: MIT",
         "model.yaml:5: unknown key 'license'. Did you mean licence?"),
        ("model.yaml", "name: small\n", "", "model.yaml: name is missing"),
    ],
)
def test_an_error_names_file_line_and_key(folder, file, old, new, expected):
    change(folder, file, old, new)
    with pytest.raises(ModelFileError) as error:
        read_model(folder)
    assert expected in str(error.value)


def test_all_errors_of_all_files_are_reported_at_once(folder):
    change(folder, "findings.yaml", "gout: 0.6", "gowt: 0.6")
    change(folder, "causes.yaml", "p: 0.02", "p: 2")
    change(folder, "outcome.yaml", "label: Failed", "lable: Failed")
    with pytest.raises(ModelFileError) as error:
        read_model(folder)
    files = {re.sub(r".*/(\w+\.yaml).*", r"\1", p.where) for p in error.value.problems}
    assert files == {"findings.yaml", "causes.yaml", "outcome.yaml"}


def one_file(path: Path) -> Path:
    """The small model in a single file, without an evidence table."""
    parts = {"context": RISKS, "cause": CAUSES, "outcome": OUTCOME, "history": FINDINGS}
    inside = "".join(
        f"  {role}:\n" + "".join(f"    {line}\n" for line in text.splitlines())
        for role, text in parts.items()
    )
    file = path / "own.yaml"
    file.write_text("name: own\noutcome: failed\nparts:\n" + inside, encoding="utf-8")
    return file


def test_a_model_in_one_file_is_the_same_network(folder, tmp_path):
    file = one_file(tmp_path)
    model = bayesnet.load(file)
    findings = {"redness": True, "sex": "male"}
    assert model.diagnose(findings).causes.equals(bayesnet.load(folder).diagnose(findings).causes)
    assert "Not a medical device" in str(model.diagnose(findings))
    (tmp_path / "again").mkdir()
    written = bayesnet.load(write_model(model.document, tmp_path / "again"))
    assert written.posterior().distributions == model.posterior().distributions


def test_no_published_results_are_said_in_one_line(tmp_path):
    from typer.testing import CliRunner

    from bayesnet.cli import app

    file = str(one_file(tmp_path))
    found = CliRunner().invoke(app, ["model", "published", file], env={"COLUMNS": "400"})
    assert found.exit_code == 2
    error = found.output[found.output.index("error:"):].strip().splitlines()
    assert len(error) == 1
    assert "there is no published.yaml beside the model" in error[0]
    card = CliRunner().invoke(app, ["model", "card", file])
    assert card.exit_code == 0, card.output
    assert "## Purpose" not in card.output
    assert "## Causes" in card.output
    assert "## Published results" not in card.output


def test_an_error_in_one_file_names_its_line(tmp_path):
    file = one_file(tmp_path)
    text = file.read_text()
    line = next(i for i, x in enumerate(text.splitlines(), 1) if "gout: 0.6" in x)
    file.write_text(text.replace("gout: 0.6", "gowt: 0.6"))
    with pytest.raises(ModelFileError, match=rf"own\.yaml:{line}.*gowt.*Did you mean gout"):
        bayesnet.load(file)
    with pytest.raises(ModelFileError, match=r"none\.yaml: no such file"):
        bayesnet.load(tmp_path / "none.yaml")


def test_a_kept_order_holds_only_for_its_arcs(folder):
    from bayesnet.inference.orders import search_order
    from bayesnet.modelfile.reader import ORDER_FILE

    network = read_model(folder).network
    order = search_order(network, steps=5)
    lines = [f"# for structure {network.structure}", *order]
    (folder / ORDER_FILE).write_text("\n".join(lines))
    assert read_model(folder).elimination_order == order
    assert bayesnet.load(folder).program.order == order
    change(folder, "findings.yaml", "gout: 0.6", "gout: 0.7")
    assert read_model(folder).elimination_order == order
    change(folder, "findings.yaml", "gout: 0.7", "gout: 0.7\n    strain: {mild: 0.1}")
    assert read_model(folder).elimination_order is None


def test_the_shipped_order_is_for_the_shipped_arcs(model):
    assert model.document.elimination_order is not None


def test_a_missing_model_is_said_so():
    with pytest.raises(ModelFileError, match=r"no model 'pt_failur'.*Did you mean pt_failure"):
        bayesnet.load("pt_failur")


def test_the_shipped_model_survives_writing_and_reading(model, tmp_path):
    document = read_model(write_model(model.document, tmp_path / "copy"))
    assert dict(document.network.variables) == dict(model.network.variables)
    for v in model.network.variables:
        before, after = model.network.distributions[v], document.network.distributions[v]
        assert type(before) is type(after)
        assert before.parents == after.parents
        for old, new in zip(model.network.factors_of(v), document.network.factors_of(v),
                            strict=True):
            np.testing.assert_allclose(old.values, new.values, rtol=1e-12, atol=1e-15)
    old = {(p.variable, p.key): (p.studies, p.expert, p.spread) for p in model.document.parameters}
    new = {(p.variable, p.key): (p.studies, p.expert, p.spread) for p in document.parameters}
    assert old == new


def test_json_schema_accepts_the_shipped_files_and_refuses_others():
    import jsonschema

    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    root = model_folder("pt_failure")
    parts = yaml.safe_load((root / "model.yaml").read_text())["parts"]
    for file in [root / name for names in parts.values() for name in names]:
        if file.name != "model.yaml":
            data = yaml.load(file.read_text(), Loader=yaml.BaseLoader)
            assert data
            numeric = yaml.safe_load(file.read_text())
            text_keys = _with_text_keys(numeric)
            assert not list(validator.iter_errors(text_keys)), file
    assert list(validator.iter_errors({"fever": {"label": "Fever", "group": "x"}}))
    assert list(validator.iter_errors({"fever": {"label": "F", "group": "x", "tabel": {}}}))


def _with_text_keys(data):
    if isinstance(data, dict):
        return {str(k): _with_text_keys(v) for k, v in data.items()}
    return [_with_text_keys(x) for x in data] if isinstance(data, list) else data


def test_contributing_adds_a_cause_without_python(folder):
    """What CONTRIBUTING.md shows: a cause and its link to a finding, in YAML alone."""
    text = Path(__file__).parent.parent.joinpath("CONTRIBUTING.md").read_text()
    cause, finding, outcome = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[:3]
    copy = folder / "pt_failure"
    copy.mkdir()
    source = model_folder("pt_failure")
    for file in source.glob("*.yaml"):
        (copy / file.name).write_text(file.read_text())
    change(copy, "model.yaml", "../../data/evidence.csv", data_file("evidence.csv").as_posix())
    (copy / "causes.yaml").open("a").write("\n" + cause)
    for block in (finding, outcome):
        lines = block.splitlines()
        anchor, added = lines[-2], lines[-1]
        name = next(f.name for f in copy.glob("*.yaml") if f"\n{lines[0]}\n" in "\n" + f.read_text())
        text = (copy / name).read_text()
        start = text.index(f"\n{lines[0]}\n") if not text.startswith(lines[0]) else 0
        at = text.index(anchor, start) + len(anchor)
        (copy / name).write_text(text[:at] + "\n" + added + text[at:])
    new_id = cause.split(":")[0]
    model = bayesnet.load(copy)
    finding_id = finding.split(":")[0]
    assert new_id in model.causes
    assert model.diagnose({finding_id: True})[new_id].likelihood_ratio > 1
