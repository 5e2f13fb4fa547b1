"""Tables of patients: the same answers as one by one, dirt that is reported, runs that go on."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesnet
from bayesnet.cli import app
from bayesnet.cohort import diagnose_frame, read_mapping, score, simulate, suggest_mapping
from bayesnet.cohort.check import check_table
from bayesnet.cohort.mapping import Column
from bayesnet.cohort.suggest import unread_values
from bayesnet.errors import CohortError
from bayesnet.network import Variable
from bayesnet.validation import shipped_cases
from bayesnet.validation.structure import independence_tests

pa = pytest.importorskip("pyarrow", reason="tests of tables need pip install 'bayesnet[cohort]'")
import pyarrow.parquet as pq  # noqa: E402

#: What a registry has of everyone, and little else.
AGE_AND_SEX_KNOWN = {
    **dict.fromkeys(("context", "history", "examination", "questionnaire", "programme", "test"), 0.8),
    "cause": 0.8, "mechanism": 0.8, "age": 0, "sex": 0,
}


@pytest.fixture(scope="module")
def patients(model):
    return simulate(model, 400, seed=3, missing={"test": 0.9, "history": 0.5, "examination": 0.6})


@pytest.fixture(scope="module")
def answers(model, patients):
    return model.diagnose_frame(patients, attribution=True)


def row_of(frame, i):
    return {c: v for c, v in frame.iloc[i].items() if isinstance(v, str)}


def test_rows_are_the_diagnoses_of_the_patients(model, patients, answers):
    for i in range(0, 400, 8):
        d = model.diagnose(row_of(patients, i))
        for r in d.results:
            assert answers[r.cause].iloc[i] == pytest.approx(r.posterior, abs=1e-13)
            assert answers[f"{r.cause}__necessity"].iloc[i] == pytest.approx(r.necessity, abs=1e-12, nan_ok=True)
        assert answers["spinal_stenosis__severe"].iloc[i] == pytest.approx(
            d["spinal_stenosis"].states["severe"], abs=1e-13)
        assert answers["log_evidence"].iloc[i] == pytest.approx(d.log_evidence, abs=1e-9)
        assert answers["top_cause"].iloc[i] == d.ranked("diagnoses", "posterior")[0].cause
        assert answers["triage"].iloc[i] == d.triage.level


def test_published_cases_have_the_triage_of_one_by_one(model):
    cases = shipped_cases()
    frame = pd.DataFrame([c.evidence() for c in cases]).astype(object)
    found = model.diagnose_frame(frame)
    for i, case in enumerate(cases):
        assert found["triage"].iloc[i] == model.diagnose(case.evidence()).triage.level, case.id


def test_index_kinds_and_other_frames_give_the_same(model, patients, answers):
    import polars as pl

    few = patients.iloc[:50]
    named = few.set_axis([f"p{i}" for i in range(50)])
    assert list(model.diagnose_frame(named).index) == list(named.index)
    table = pa.Table.from_pandas(few, preserve_index=False)
    arrow = few.astype(str).replace("nan", None).convert_dtypes(dtype_backend="pyarrow")
    for other in (few.astype(object), table, arrow, pl.from_arrow(table)):
        found = model.diagnose_frame(other)
        assert type(found).__module__.split(".")[0] == type(other).__module__.split(".")[0]
        values = np.asarray(found["spinal_stenosis"])
        assert (values.astype(float) == answers["spinal_stenosis"].iloc[:50].to_numpy()).all()


def test_values_of_every_kind(model):
    frame = pd.DataFrame({
        "age": [34, 34.9, None, "71", 18],
        "fever": [True, "present", "yes", None, False],
        "leg_pain": ["none|above_knee", None, "none", "", "NA"],
        "hla_b27__positive": [0.8, None, 1.0, 0.0, None],
        "patient": ["a", "b", "c", "d", "e"],
    })
    found = model.diagnose_frame(frame)
    rows = [
        {"age": 34, "fever": True, "leg_pain": ["none", "above_knee"],
         "hla_b27": {"negative": 0.2, "positive": 0.8}},
        {"age": 34.9, "fever": True}, {"fever": True, "leg_pain": "none", "hla_b27": "positive"},
        {"age": 71, "hla_b27": "negative"}, {"age": 18, "fever": False},
    ]
    for i, row in enumerate(rows):
        d = model.diagnose(row)
        for r in d.results:
            assert found[r.cause].iloc[i] == pytest.approx(r.posterior, rel=1e-12), (i, r.cause)


def test_outcome_column_is_believed(model):
    frame = pd.DataFrame({"age": [40, 40, 40], "pt_failure": ["present", "absent", None]})
    found = model.diagnose_frame(frame)
    for i, value in enumerate([True, False, None]):
        d = model.diagnose({"age": 40, "pt_failure": value})
        assert found["spinal_stenosis"].iloc[i] == pytest.approx(d["spinal_stenosis"].posterior)


def test_bad_rows_raise_or_are_reported(model):
    frame = pd.DataFrame({"age": [34, 12, 50], "fever": ["absent", "present", "hgh"]})
    with pytest.raises(CohortError, match=r"row 1: age: 12 is outside.*\n.*row 2: fever: 'hgh'"):
        model.diagnose_frame(frame)
    found = model.diagnose_frame(frame, errors="column")
    assert found["error"].notna().tolist() == [False, True, True]
    assert found["spinal_stenosis"].isna().tolist() == [False, True, True]
    assert found["triage"].isna().tolist() == [False, True, True]
    with pytest.raises(CohortError, match="Did you mean"):
        model.diagnose_frame(pd.DataFrame({"fevr": [1]}))
    with pytest.raises(CohortError, match="expected a data frame"):
        model.diagnose_frame([1, 2])


def test_no_rows(model):
    found = model.diagnose_frame(pd.DataFrame({"age": pd.Series([], dtype=float)}))
    assert len(found) == 0
    assert "spinal_stenosis" in found


# ---------------------------------------------------------------- mapping

MAPPING = """
columns:
  Alter: age
  geschlecht: {variable: sex, values: {m: male, w: female}}
  temp_f: {variable: fever, scale: 0.5555555556, offset: -17.77777778,
           thresholds: {present: ">= 38", absent: "< 38"}}
  fieber: {variable: fever, values: {1: present, 0: absent}, combine: worst}
not_known: [-9]
"""


def test_mapping_brings_codes_and_units(model, tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(MAPPING, encoding="utf-8")
    mapping = read_mapping(path, model.network)
    frame = pd.DataFrame({
        "Alter": [34, -9, 50], "geschlecht": ["m", "w", ""], "temp_f": [101.0, 98.0, -9.0],
        "fieber": [0, 1, -9],
    })
    found = model.diagnose_frame(frame, mapping=mapping)
    rows = [{"age": 34, "sex": "male", "fever": True}, {"sex": "female", "fever": True}, {"age": 50}]
    for i, row in enumerate(rows):
        assert found["vertebral_infection"].iloc[i] == pytest.approx(
            model.diagnose(row)["vertebral_infection"].posterior, rel=1e-12)
    again = tmp_path / "again.yaml"
    again.write_text(mapping.to_yaml(), encoding="utf-8")
    assert read_mapping(again, model.network) == mapping


@pytest.mark.parametrize(("text", "words"), [
    ("columns: {a: fevr}", "Did you mean fever"),
    ("columns: {a: {variable: fever, states: 1}}", "unknown key 'states'"),
    ("columns: {a: {variable: fever, values: {1: high}}}", "not a state"),
    ("columns: {a: {variable: fever, thresholds: {present: many}}}", "such as"),
    ("columns: {a: {variable: fever, scale: x}}", "must be a number"),
    ("colums: {}", "columns"), ("", "columns"), ("columns: [1", "not valid YAML"),
])
def test_wrong_mappings_say_what_to_write(model, tmp_path, text, words):
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CohortError, match=words):
        read_mapping(path, model.network)


def test_suggestion_finds_names_and_codes(model):
    found = suggest_mapping(model.network, {
        "Sex": ["m", "f"], "AGE": [20, 30], "Morning stiffnes": ["over 30 min", "none"],
        "Fever": [0, 1], "patient_no": ["a", "b"],
    })
    assert found.columns["Sex"].values == {"m": "male", "f": "female"}
    assert found.columns["AGE"].variable == "age"
    assert found.columns["Morning stiffnes"].values["over 30 min"] == "over_30_min"
    assert found.columns["Fever"].values == {"0": "absent", "1": "present"}
    assert "patient_no" not in found.columns


def test_suggestion_reads_the_codes_of_registries(model):
    seen = {
        "Age (years)": ["44", "99", "999"], "gender": ["M", "female", "-9"], "fever": ["1", "0", "99"],
        "weight_loss": ["True", "False", ""], "leg_weakness": ["yes", "no"], "hla_b27": [1, 0, -9.0],
        "tampa_scale": ["1", "0"], "crp_or_esr": ["abnormal"], "smoking": ["yes"],
    }
    found = suggest_mapping(model.network, seen)
    columns = found.columns
    assert columns["Age (years)"] == Column("age")
    assert columns["gender"] == Column("sex", values={"M": "male"})
    # 99 is an age, so it is not known of fever only.
    assert columns["fever"].values == {"1": "present", "0": "absent", "99": None}
    assert found.not_known == ("-9", "999")
    assert columns["leg_weakness"].values == {"yes": ["stable", "progressive"], "no": "none"}
    assert columns["hla_b27"].values == {"1": "positive", "0": "negative"}
    # 0 and 1 could be anything of a score that is low or high.
    assert columns["tampa_scale"].values == {}
    assert columns["crp_or_esr"].values == {"abnormal": "raised"}
    assert unread_values(model.network, seen, found) == {"tampa_scale": ["1", "0"], "smoking": ["yes"]}


def test_one_and_two_are_sexes_only_where_labelled(model):
    found = suggest_mapping(model.network, {"sex": ["1", "2"]})
    assert found.columns["sex"].values == {}
    assert unread_values(model.network, {"sex": ["1", "2"]}, found) == {"sex": ["1", "2"]}
    for name, seen in (("sex (1=male, 2=female)", ["1", "2"]), ("sex", ["1 = male", "2: Female"])):
        found = suggest_mapping(model.network, {name: seen})
        assert found.columns[name].values == {seen[0]: "male", seen[1]: "female"}


def test_proposed_mapping_scores_the_table(tmp_path):
    (tmp_path / "registry.csv").write_text("age_years,sex,fever\n44,M,1\n61,f,-9\n,F,\n", encoding="utf-8")
    proposed = bayes("cohort", "map", "--suggest", tmp_path / "registry.csv")
    (tmp_path / "registry.yaml").write_text(proposed.stdout, encoding="utf-8")
    found = bayes("score", tmp_path / "registry.csv", "-o", tmp_path / "out.csv",
                  "--mapping", tmp_path / "registry.yaml")
    assert found.exit_code == 0, found.output
    assert "3 of 3 rows scored" in found.stdout


@pytest.mark.parametrize(("column", "value", "says"), [
    ("sex", "M", "'M' is not a state: write 'male'"), ("fever", 1, "'1' is not a state: write 'present'"),
    ("leg_weakness", "yes", "write 'stable|progressive'"), ("age", -9, "leave the cell empty"),
])
def test_refused_codes_say_what_to_write(model, column, value, says):
    with pytest.raises(CohortError, match=re.escape(says)):
        model.diagnose_frame(pd.DataFrame({column: [value]}))


# ---------------------------------------------------------------- files


def bayes(*args):
    return CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "200"})


def test_files_give_the_frames_answers(model, patients, answers, tmp_path):
    table = pa.Table.from_pandas(patients, preserve_index=False)
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=150)
    for sex in ("female", "male"):
        (tmp_path / "folder" / f"sex={sex}").mkdir(parents=True)
        part = patients[patients["sex"] == sex].drop(columns="sex")
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False),
                       tmp_path / "folder" / f"sex={sex}" / "a.parquet")
    text = patients.to_csv(index=False)
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "in.csv.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    wanted = answers["spinal_stenosis"].to_numpy()
    for source in ("in.parquet", "in.csv", "in.csv.gz"):
        for out in ("out.parquet", "out.csv", "out"):
            done = score(model, tmp_path / source, tmp_path / out, keep=["age"])
            assert (done.rows, done.bad, done.rejects) == (400, 0, None)
            read = pd.read_csv if out.endswith("csv") else pd.read_parquet
            found = read(tmp_path / out)
            assert found["row"].tolist() == list(range(400))
            np.testing.assert_allclose(found["spinal_stenosis"], wanted, rtol=1e-15)
            assert found["triage"].astype(str).tolist() == answers["triage"].astype(str).tolist()
            assert "age" in found
    done = score(model, tmp_path / "folder", tmp_path / "parts.parquet")
    mixed = pd.read_parquet(tmp_path / "parts.parquet")["spinal_stenosis"].to_numpy()
    order = [*np.flatnonzero(patients["sex"] == "female"), *np.flatnonzero(patients["sex"] == "male")]
    known = patients["sex"].notna().sum()
    assert done.rows == known
    np.testing.assert_array_equal(mixed, wanted[order])


GOOD = "age,fever\n34,absent\n"


@pytest.mark.parametrize(("name", "content", "rows", "bad", "says"), [
    ("latin", "age,fever,name\n34,absent,Müller\n".encode("latin-1"), 1, 0, "Windows-1252"),
    ("utf16", GOOD.encode("utf-16"), 1, 0, "UTF-16"),
    ("bom", GOOD.encode("utf-8-sig"), 1, 0, ""),
    ("semicolons", GOOD.replace(",", ";").encode(), 1, 0, ""),
    ("codes", b"age,fever\n34,absent\n40,maybe\n", 2, 1, "'maybe' is not a state"),
    ("twice", b"age,fever,fever\n34,absent,\n35,absent,present\n36,present,present\n", 3, 1, "different values"),
    ("ragged", b"age,fever\n34\n35,absent\n36,absent,x\n37,present\n", 4, 2, "has 1 cells, not 2"),
    ("mixed", b"age,fever\n34,1\n=1+1,0\nthirty,absent\n\"40\",TRUE\n", 4, 3, "=1+1"),
    ("header", b"age,fever\n", 0, 0, ""),
    ("nan", b"age,fever\n,absent\nNaN,absent\nNA,present\n", 3, 0, ""),
    ("text", b"age,fever\n 34 ,absent\n1e2,absent\n340,absent\n", 3, 1, "outside 18 to 110"),
    ("long", b"age,fever\n34," + b"x" * 100_000 + b"\n35,absent\n", 2, 1, "xxx..."),
    ("lines", b'age,fever,note\n34,absent,"two\nlines"\n', 1, 0, ""),
    ("nul", b"age,fever\n34,abs\x00ent\n35,absent\n", 2, 1, "not a state"),
    ("quote", b'age,fever\n34,"absent\n' + b"35,absent\n" * 600_000, 1, 1, ""),
    ("crlf", GOOD.replace("\n", "\r\n").encode(), 1, 0, ""),
])
def test_dirt_is_reported_and_good_rows_are_scored(tmp_path, name, content, rows, bad, says):
    path = tmp_path / f"{name}.csv"
    path.write_bytes(content)
    done = bayes("score", path, "-o", tmp_path / "out.csv")
    assert done.exit_code == (3 if bad else 0), done.output
    assert f"{rows - bad} of {rows} rows scored" in done.output
    scored = pd.read_csv(tmp_path / "out.csv")
    assert len(scored) == rows - bad
    reported = done.output
    if bad:
        rejects = pd.read_csv(tmp_path / "out.rejects.csv")
        assert len(rejects) == bad
        assert set(rejects["row"]) | set(scored["row"]) == set(range(rows))
        reported += rejects.to_csv()
        assert len(reported) < 5_000
    assert says in reported
    checked = bayes("cohort", "check", path)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(("name", "content", "says"), [
    ("a.csv", b"", "is empty"), ("a.csv", b"\n\n", "is empty"), ("a.csv", b"x,y\n1,2\n", "none of the columns"),
    ("a.parquet", b"not parquet", "is not Parquet"), ("a.xlsx", b"x", "expected .csv"),
])
def test_unusable_files_exit_with_2(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    done = bayes("score", path, "-o", tmp_path / "out.parquet")
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert "Traceback" not in done.output


def test_wrong_options_exit_with_2(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(GOOD, encoding="utf-8")
    for args, says in (
        (["-o", path], "replace the input"), (["-o", tmp_path / "x.xlsx"], "expected .parquet"),
        (["-o", tmp_path / "o.csv", "--memory", "lots"], "amount of memory"),
        (["-o", tmp_path / "o.csv", "--keep", "agee"], "Did you mean age"),
    ):
        done = bayes("score", path, *args)
        assert done.exit_code == 2
        assert says in " ".join(done.output.split())
    assert bayes("score", tmp_path / "none.csv", "-o", tmp_path / "o.csv").exit_code == 2


def test_killed_run_goes_on_and_is_identical(model, tmp_path):
    frame = simulate(model, 30_000, seed=5, missing=AGE_AND_SEX_KNOWN)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "in.parquet",
                   row_group_size=8_000)
    # The smallest budget: many blocks, so that there is a middle to be killed in.
    command = [sys.executable, "-m", "bayesnet", "score", str(tmp_path / "in.parquet"), "--memory", "1MiB"]
    done = subprocess.run([*command, "-o", str(tmp_path / "whole.parquet")], check=False)
    assert done.returncode == 0
    killed = subprocess.Popen([*command, "-o", str(tmp_path / "killed.parquet")])
    folder = tmp_path / "killed.parquet.partial"
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.done"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed.parquet").exists()
    finished = len(list(folder.glob("*.done")))
    assert 3 <= finished < 30
    stamps = {f.name: f.stat().st_mtime_ns for f in folder.glob("*.done")}
    found = score(model, tmp_path / "in.parquet", tmp_path / "killed.parquet", memory="1MiB")
    assert found.resumed == sum([min(1000, 8000 - 1000 * int(n[9:14])) for n in stamps])
    assert (tmp_path / "killed.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not folder.exists()


def test_run_with_other_options_is_not_continued(model, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(GOOD, encoding="utf-8")
    folder = tmp_path / "out.csv.partial"
    folder.mkdir()
    (folder / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CohortError, match="left over"):
        score(model, path, tmp_path / "out.csv")


def test_check_reports_shift_and_dirt(model, tmp_path):
    frame = simulate(model, 2_000, seed=9, given={"pt_failure": True}).drop(columns="pt_failure")
    frame["fever"] = "present"
    frame["site"] = "A"
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = check_table(model, tmp_path / "a.csv")
    first = found.variables.iloc[0]
    assert first["variable"] == "fever"
    expected = 1 - model.posterior("fever", {"pt_failure": True})["fever"]["present"]
    assert first["shift"] == pytest.approx(expected)
    assert (found.variables["shift"].iloc[1:] < 0.06).all()
    assert found.ignored == ("site",)
    assert json.loads(bayes("cohort", "check", tmp_path / "a.csv", "--json").output)["rows"] == 2000


# ---------------------------------------------------------------- simulation


@pytest.mark.parametrize("given", [
    {}, {"pt_failure": True}, {"sex": "female", "age": 70},
    {"fever": {"absent": 0.3, "present": 0.9}, "leg_pain": ["none", "above_knee"]},
])
def test_simulated_marginals_are_the_posteriors(model, given):
    n = 20_000
    frame = simulate(model, n, seed=11, given=given, hidden=True)
    wanted = model.posterior(None, given)
    z = []
    for v, states in wanted.items():
        share = frame[v].value_counts(normalize=True)
        for state, p in states.items():
            if 0 < p < 1 and n * p * (1 - p) > 20:
                z.append((share[state] - p) / np.sqrt(p * (1 - p) / n))
            elif p in (0, 1):
                assert share[state] == p
    z = np.array(z)
    assert len(z) > 200
    assert np.abs(z).max() < 4.8
    assert np.mean(z**2) == pytest.approx(1, abs=0.35)


def test_rare_evidence_is_drawn_by_the_chain_rule(model):
    given = {"saddle_numbness": True, "bladder_changes": "retention_or_incontinence", "fever": True, "sex": "male"}
    n = 3_000
    frame = simulate(model, n, seed=2, given=given, hidden=True)
    assert (frame["fever"] == "present").all()
    wanted = model.posterior(None, given)
    for v in ("cauda_equina", "vertebral_infection", "age", "leg_weakness", "night_sweats_chills"):
        if v not in wanted:
            continue
        share = frame[v].value_counts(normalize=True)
        for state, p in wanted[v].items():
            assert share[state] == pytest.approx(p, abs=4.5 * np.sqrt(p * (1 - p) / n) + 1e-9), (v, state)


def test_missing_by_kind_and_seed(model):
    frame = simulate(model, 4_000, seed=1, missing={"test": 0.9, "history": 0.2, "fever": 0.5})
    again = simulate(model, 4_000, seed=1, missing={"test": 0.9, "history": 0.2, "fever": 0.5})
    pd.testing.assert_frame_equal(frame, again)
    empty = frame.isna().mean()
    for v in frame:
        role = model.network[v].role
        share = 0.5 if v == "fever" else {"test": 0.9, "history": 0.2}.get(role, 0)
        assert empty[v] == pytest.approx(share, abs=0.04)
    assert not set(model.causes) & set(frame)
    with pytest.raises(bayesnet.EvidenceError, match="Did you mean"):
        simulate(model, 1, missing={"tests": 0.5})
    with pytest.raises(bayesnet.EvidenceError, match="from 0 to 1"):
        simulate(model, 1, missing=1.5)


def test_posteriors_of_simulated_patients_are_calibrated(model):
    frame = simulate(model, 20_000, seed=21, given={"pt_failure": True}, missing=0.8, hidden=True)
    found = diagnose_frame(model, frame.drop(columns=[c for c in frame if model.network[c].role in
                                                       ("cause", "mechanism", "outcome")]))
    slopes = []
    for c in model.causes:
        truth = (frame[c] != model.network[c].states[0]).to_numpy(float)
        p = found[c].to_numpy()
        if truth.sum() < 300:
            continue
        # Slope of truth on prediction: 1 when E(truth | prediction) = prediction.
        centred = p - p.mean()
        slope = (centred @ truth) / (centred @ centred)
        error = np.sqrt(centred**2 @ (truth - p) ** 2) / (centred @ centred)
        slopes.append((slope - 1) / error)
        assert truth.mean() == pytest.approx(p.mean(), abs=4.5 * np.sqrt(p.mean() / len(p)))
    assert len(slopes) > 15
    assert np.abs(slopes).max() < 4
    assert abs(np.mean(slopes)) < 1


def test_simulated_outcome_is_missing_only_where_named(model):
    assert simulate(model, 50, seed=1, missing=0.9)["pt_failure"].notna().all()
    assert simulate(model, 50, seed=1, missing={"pt_failure": 1.0})["pt_failure"].isna().all()


def test_simulate_command(tmp_path):
    done = bayes("simulate", "-n", 50, "-o", tmp_path / "a.csv", "--given", "sex=female", "--missing",
                 "test=0.9", "--seed", 4)
    assert done.exit_code == 0
    found = pd.read_csv(tmp_path / "a.csv")
    assert len(found) == 50
    assert set(found["sex"]) == {"female"}
    assert set(found["pt_failure"]) == {"absent", "present"}
    assert bayes("simulate", "-n", 5, "-o", tmp_path / "a.txt").exit_code == 2
    assert bayes("simulate", "-n", 5, "-o", tmp_path / "a.csv", "--missing", "x").exit_code == 2


# ---------------------------------------------------------------- cluster


def test_cluster_gives_the_same_though_a_worker_dies(model, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs pip install 'bayesnet[cluster]'")
    import dask.dataframe as dd

    frame = simulate(model, 12_000, seed=6, missing=AGE_AND_SEX_KNOWN)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "in.parquet",
                   row_group_size=1_000)
    score(model, tmp_path / "in.parquet", tmp_path / "alone.parquet")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster, distributed.Client(cluster) as client:
        plain = frame.head(2_000).astype(object)
        lazy = model.diagnose_frame(dd.from_pandas(plain, npartitions=4))
        pd.testing.assert_frame_equal(
            lazy.compute(), model.diagnose_frame(plain), check_categorical=False, check_dtype=False
        )
        pids = list(client.run(os.getpid).values())
        folder = tmp_path / "cluster.parquet.partial"
        killed = []

        def kill_one(rows, _):
            if not killed and rows >= 2_000:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        done = score(model, tmp_path / "in.parquet", tmp_path / "cluster.parquet", dask=client,
                     progress=kill_one)
    assert killed
    assert done.rows == 12_000
    assert not folder.exists()
    assert (tmp_path / "cluster.parquet").read_bytes() == (tmp_path / "alone.parquet").read_bytes()


def test_no_scheduler_is_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(GOOD, encoding="utf-8")
    done = bayes("score", path, "-o", tmp_path / "o.csv", "--dask", "nowhere")
    assert done.exit_code == 2


def test_misspelled_columns_are_named(model, tmp_path):
    frame = pd.DataFrame({"Age": [50], "saddle_numbnes": ["present"], "fever__hot": [1.0], "sex": ["male"], "clinic": ["a"]})
    with pytest.warns(UserWarning, match="is not read") as seen:
        model.diagnose_frame(frame)
    said = [str(w.message) for w in seen]
    assert any("'saddle_numbnes' is not read. Did you mean saddle_numbness?" in s for s in said)
    assert any("'Age' is not read. Did you mean age?" in s for s in said)
    assert any("fever has no state 'hot'" in s for s in said)
    assert not any("clinic" in s for s in said)
    file, out = tmp_path / "s.csv", tmp_path / "o.csv"
    frame.assign(sex="mail").to_csv(file, index=False)
    assert score(model, file, out).rejects == tmp_path / "o.rejects.csv"
    frame.to_csv(file, index=False)
    done = score(model, file, out)
    assert len(done.notes) == 3
    assert not (tmp_path / "o.rejects.csv").exists()
    CliRunner().invoke(app, ["plot", "cohort", str(out), "-o", str(tmp_path / "c.png")], catch_exceptions=False)
    assert (tmp_path / "c.png").exists()


def test_models_are_not_written_over(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep", encoding="utf-8")
    command = ["recalibrate", "kinesiophobia=0.4", "-o", str(tmp_path / "mine")]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "add --overwrite" in refused.output + (refused.stderr or "")
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0


@pytest.mark.parametrize("command", [["calibrate"], ["optimise", "--steps", "1"]])
def test_the_shipped_model_is_left_alone(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["model", command[0], "pt_failure", *command[1:]])
    assert refused.exit_code == 2
    assert "write a copy of your own" in refused.output + (refused.stderr or "")


# ---------------------------------------------------------------- codes, likelihoods and limits


def test_necessity_when_a_likelihood_makes_the_outcome_certain(model):
    frame = pd.DataFrame({
        "age": [40] * 4, "pt_failure__present": [1.0, 0.4, 0.5, 0.0],
        "pt_failure__absent": [None, 0.0, None, None],
    })
    found = model.diagnose_frame(frame, attribution=True)["kinesiophobia__necessity"]
    wanted = model.diagnose({"age": 40, "pt_failure": {"absent": 0, "present": 1}})["kinesiophobia"].necessity
    assert found.iloc[:2].to_numpy() == pytest.approx(wanted, rel=1e-12)
    assert found.iloc[2:].isna().all()


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_empty_cells_of_a_single_column_are_rows(model, tmp_path, end):
    path, out = tmp_path / "a.csv", tmp_path / "o.csv"
    path.write_text("age\n34\n\n50\n\n\n60" + end, encoding="utf-8", newline="")
    score(model, path, out)
    found = pd.read_csv(out)
    assert found["row"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["spinal_stenosis"].iloc[5] == pytest.approx(model.diagnose({"age": 60})["spinal_stenosis"].posterior)
    path.write_text("age,fever\n34,absent\n\n50,absent\n", encoding="utf-8")
    assert score(model, path, out).rows == 2


CODES = """
columns:
  fieber: {variable: fever, values: {1: present, 0: absent}}
  mann: {variable: sex, values: {true: male, false: female}}
  alter: age
not_known: [-9]
"""


def mapping_of(text, model, tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return read_mapping(path, model.network)


def test_codes_are_the_same_from_every_kind_of_table(model, tmp_path):
    mapping = mapping_of(CODES, model, tmp_path)
    frame = pd.DataFrame({"fieber": [1.0, 0.0, -9.0], "mann": [True, False, True], "alter": [50.0, -9.0, 60.0]})
    wanted = [{"fever": True, "sex": "male", "age": 50}, {"fever": False, "sex": "female"}, {"sex": "male", "age": 60}]
    frame.to_csv(tmp_path / "a.csv", index=False)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, tmp_path / "a.parquet")
    found = [model.diagnose_frame(x, mapping=mapping) for x in (frame, frame.astype(str), table.to_pandas())]
    for name in ("a.csv", "a.parquet"):
        score(model, tmp_path / name, tmp_path / "o.parquet", mapping=mapping)
        found.append(pd.read_parquet(tmp_path / "o.parquet"))
    for answer in found:
        for i, row in enumerate(wanted):
            assert answer["vertebral_infection"].iloc[i] == pytest.approx(
                model.diagnose(row)["vertebral_infection"].posterior, rel=1e-12)


def test_states_that_are_numbers_are_read_from_text_too():
    grade = Variable("grade", ("1", "2", "3"))
    for cell in ("2.0", 2.0, "2", 2, " 2 "):
        assert Column("grade").likelihood(grade, cell, ()).tolist() == [0, 1, 0]


def test_true_and_one_in_a_column_are_two_codes(model):
    for cells in ([1, True, "absent"], [True, 1, None], [False, 0, None], [np.bool_(True), 1]):
        frame = pd.DataFrame({"fever": pd.Series(cells, dtype=object)})
        found = model.diagnose_frame(frame, errors="column")
        assert found["error"].notna().tolist() == [type(x) is int for x in cells]


@pytest.mark.parametrize(("text", "words"), [
    ('"99"', ("99",)), ("-9", ("-9",)), ("-9.0", ("-9",)), ("NA", ("NA",)), ("[-9, x]", ("-9", "x")), ("0", ("0",)),
])
def test_not_known_may_be_a_single_code(model, tmp_path, text, words):
    assert mapping_of(f"columns: {{a: fever}}\nnot_known: {text}\n", model, tmp_path).not_known == words


@pytest.mark.parametrize(("text", "says"), [
    ("columns: {a: fever}\nnot_known: {x: 1}", "must be a code, or a list"),
    ("columns: {a: {variable: fever, values: 5}}", "values must be a mapping"),
    ("columns: {a: {variable: fever, thresholds: 5}}", "thresholds must be a mapping"),
    ("columns: {a: {variable: [fever]}}", "unknown variable"),
])
def test_mappings_of_the_wrong_kind_say_what_to_write(model, tmp_path, text, says):
    with pytest.raises(CohortError, match=says):
        mapping_of(text, model, tmp_path)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_worst_holds_if_either_column_says_so(model, tmp_path, names):
    mapping = mapping_of("columns: {a: {variable: leg_pain, combine: worst}, b: leg_pain}", model, tmp_path)
    none, above, below = model.network["leg_pain"].states[:3]
    cells = {
        "a": [none, below, f"{none}|{above}", above, None, f"{none}|{above}", f"{none}|{below}"],
        "b": [above, none, below, f"{none}|{below}", above, None, f"{none}|{above}"],
    }
    wanted = [above, below, below, [above, below], above, [none, above], [none, above, below]]
    found = model.diagnose_frame(pd.DataFrame({n: cells[n] for n in names}), mapping=mapping)
    for i, value in enumerate(wanted):
        d = model.diagnose({"leg_pain": value})
        assert found["spinal_stenosis"].iloc[i] == pytest.approx(d["spinal_stenosis"].posterior, rel=1e-12), i
        assert found["log_evidence"].iloc[i] == pytest.approx(d.log_evidence, abs=1e-9), i


def test_columns_that_exclude_each_other_are_said(model):
    frame = pd.DataFrame({"fever": ["present", "present"], "fever__present": [0.0, 1.0]})
    found = model.diagnose_frame(frame, errors="column")
    assert found["error"].iloc[0] == "fever: two columns exclude each other"
    assert found["error"].isna().tolist() == [False, True]


def test_likelihood_columns_have_units_and_codes_for_not_known(model, tmp_path):
    mapping = mapping_of(
        "columns: {p_fever: {variable: fever, state: present, scale: 0.01}}\nnot_known: [-9]", model, tmp_path
    )
    frame = pd.DataFrame({"p_fever": ["30", "-9", "NA", "-9.0", "300", "high", None]})
    found = model.diagnose_frame(frame, mapping=mapping, errors="column")
    evidence = [{"fever": {"absent": 0.7, "present": 0.3}}, {}, {}, {}]
    for i, row in enumerate(evidence):
        assert found["vertebral_infection"].iloc[i] == pytest.approx(
            model.diagnose(row)["vertebral_infection"].posterior, rel=1e-12)
    assert found["error"].notna().tolist() == [False] * 4 + [True, True, False]
    assert found["error"].iloc[4] == "p_fever: '300': expected a probability from 0 to 1"


@pytest.mark.parametrize("text", ["values: {1: present}", "thresholds: {present: '> 1'}", "combine: worst"])
def test_likelihood_columns_have_no_values(model, tmp_path, text):
    with pytest.raises(CohortError, match="is not for a column that holds the likelihood of a state"):
        mapping_of(f"columns: {{a: {{variable: fever, state: present, {text}}}}}", model, tmp_path)


SMALL = """
name: small
{outcome}
parts:
  context:
    sex: {{states: [female, male], table: {{p: {{female: 0.5, male: 0.5}}, expert: x}}}}
    site: {{states: [{states}], table: {{p: {{{shares}}}, expert: x}}}}
  {cause}
  history:
    redness: {{table: {{given: [sex], rows: {{female: {{p: 0.1, expert: x}}, male: {{p: 0.3, expert: x}}}}}}}}
"""
GOUT = """cause:
    gout: {group: underlying, table: {p: 0.2, expert: x}}
  outcome:
    failed: {noisy_or: {gout: {p: 0.5, expert: x}, leak: {p: 0.1, expert: x}}}"""


def small_model(tmp_path, states=2, cause=GOUT, outcome="outcome: failed"):
    names = [f"s{i}" for i in range(states)]
    shares = ", ".join(f"{s}: {1 / states:.15f}" for s in names)
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(
        outcome=outcome, cause=cause, states=", ".join(names), shares=shares), encoding="utf-8")
    return bayesnet.load(path)


def test_too_many_states_for_a_table_are_said(tmp_path):
    large = small_model(tmp_path, 200)
    frame = pd.DataFrame({"site": ["s0", "s199"], "sex": ["male", "female"]})
    for ask in (large.diagnose_frame, large.fit, large.log_probability,
                partial(independence_tests, large)):
        with pytest.raises(CohortError, match=r"site has 200 states, and in tables .* at most 128"):
            ask(frame)
    with pytest.raises(CohortError, match="site has 200 states"):
        large.simulate(5)
    assert len(large.diagnose_frame(frame[["sex"]])) == 2
    full = small_model(tmp_path, 128)
    found = full.diagnose_frame(frame.replace("s199", "s127"))
    assert found["gout"].iloc[1] == pytest.approx(full.diagnose({"site": "s127"})["gout"].posterior)


def test_causes_of_one_group_have_answers(tmp_path):
    frame = pd.DataFrame({"sex": ["male", None]})
    for group in ("psychosocial", "underlying"):
        one = small_model(tmp_path, cause=GOUT.replace("underlying", group))
        found = one.diagnose_frame(frame, attribution=True)
        assert found["gout"].iloc[0] == pytest.approx(one.diagnose({"sex": "male"})["gout"].posterior)
        assert found["top_cause"].notna().tolist() == [group == "underlying"] * 2
        table = pa.Table.from_pandas(frame, preserve_index=False)
        assert one.diagnose_frame(table)["gout"].to_pylist() == found["gout"].tolist()
        pq.write_table(table, tmp_path / "a.parquet")
        for name, read in (("o.parquet", pd.read_parquet), ("o.csv", pd.read_csv)):
            score(one, tmp_path / "a.parquet", tmp_path / name)
            np.testing.assert_allclose(read(tmp_path / name)["gout"], found["gout"])


def test_a_model_without_causes_says_so(tmp_path):
    none = small_model(tmp_path, cause="", outcome="")
    frame = pd.DataFrame({"sex": ["male", None]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for ask in (lambda: none.diagnose({"sex": "male"}), lambda: none.diagnose_frame(frame),
                lambda: score(none, tmp_path / "a.csv", tmp_path / "o.csv")):
        with pytest.raises(bayesnet.BayesnetError, match="has no causes"):
            ask()
    assert not (tmp_path / "o.csv.partial").exists()


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_kept_columns_named_like_the_answers_get_other_names(tmp_path, ending):
    one = small_model(tmp_path)
    path, out = tmp_path / "a.csv", tmp_path / f"o{ending}"
    path.write_text("row,sex,gout,gout_given,id\na,male,present,y,z\n", encoding="utf-8")
    score(one, path, out, keep=["row", "gout", "gout_given", "id", "id"])
    found = (pd.read_csv if ending == ".csv" else pd.read_parquet)(out)
    assert list(found)[:6] == ["row", "row_given", "gout_given_given", "gout_given", "id", "gout"]
    assert found.iloc[0, :5].tolist() == [0, "a", "present", "y", "z"]
    path.write_text("id,sex,id\na,male,b\n", encoding="utf-8")
    with pytest.raises(CohortError, match="'id' comes twice"):
        score(one, path, out, keep=["id"])


def test_rows_of_a_partition_are_called_that(model):
    dd = pytest.importorskip("dask.dataframe", reason="needs pip install 'bayesnet[cluster]'")
    frame = pd.DataFrame({"fever": ["absent"] * 9 + ["hgh"]})
    lazy = model.diagnose_frame(dd.from_pandas(frame, npartitions=2))
    with pytest.raises(CohortError, match=r"^row 4 of its partition: fever: 'hgh'"):
        lazy.compute(scheduler="sync")


def test_check_looks_at_no_more_rows_than_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("bayesnet.cohort.check.BLOCK", 4)
    one = small_model(tmp_path)
    path = tmp_path / "a.csv"
    path.write_text("sex,site\n" + "male,s0\n" * 8 + "male\nx,s0\n" + "female,s1\n" * 40, encoding="utf-8")
    for limit, rows, bad in ((3, 3, 0), (7, 7, 0), (9, 9, 1), (10, 10, 2), (20, 20, 2), (500, 50, 2)):
        found = check_table(one, path, limit=limit)
        assert (found.rows, found.bad) == (rows, bad), limit
    frame = pd.DataFrame({"sex": ["male"] * 10 + [None] * 90})
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "a.parquet", row_group_size=8)
    found = check_table(one, tmp_path / "a.parquet", limit=20)
    assert (found.rows, found.variables["known"].tolist()) == (20, [0.5])


def test_columns_of_lists_are_named_and_decimals_are_numbers(model, tmp_path):
    import polars as pl

    lists = pa.table({"age": [40, 50], "leg_pain": [["none"], ["none", "above_knee"]], "tags": [["a"], []]})
    structs = pa.table({"fever": [{"present": 0.2}, None], "age": [40, 50]})
    for table, name in ((lists, "leg_pain"), (pl.from_arrow(lists), "leg_pain"), (structs, "fever")):
        with pytest.raises(CohortError, match=f"column '{name}': expected a column of words, .* not "):
            model.diagnose_frame(table)
    path, out = tmp_path / "a.parquet", tmp_path / "o.csv"
    pq.write_table(lists, path)
    with pytest.raises(CohortError, match="column 'leg_pain'"):
        score(model, path, out)
    pq.write_table(lists.drop_columns("leg_pain"), path)
    with pytest.raises(CohortError, match=r"--keep: column 'tags' is of list.*write .parquet"):
        score(model, path, out, keep=["tags"])
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.parquet"]
    assert score(model, path, tmp_path / "o.parquet", keep=["tags"]).good == 2
    # A column that means nothing to the model may be of any kind.
    wanted = model.diagnose_frame(pd.DataFrame({"age": [40, 50]}))["spinal_stenosis"].tolist()
    assert model.diagnose_frame(lists.drop_columns("leg_pain"))["spinal_stenosis"].to_pylist() == wanted
    decimals = pa.table({"age": pa.array([Decimal("40.00"), Decimal("50.00")])})
    for table in (decimals, decimals.to_pandas(), pl.from_arrow(decimals)):
        assert np.asarray(model.diagnose_frame(table)["spinal_stenosis"]).tolist() == wanted


def test_outputs_that_cannot_be_are_refused_before_anything_is_done(tmp_path, monkeypatch):
    one = small_model(tmp_path)
    path = tmp_path / "a.csv"
    path.write_text("sex\nmale\n", encoding="utf-8")
    (tmp_path / "o.csv").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("keep", encoding="utf-8")
    (tmp_path / "file").write_text("keep", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    for name, says in (("o.csv", "is a folder"), ("file", "is a file"), ("results", "not of an earlier run"),
                       ("file/o.csv", "cannot be made"), ("x" * 300 + ".csv", "cannot be read or written")):
        with pytest.raises(CohortError, match=says):
            score(one, path, tmp_path / name)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    done = bayes("score", path, "-o", tmp_path / "p.csv", "-m", tmp_path / "small.yaml")
    monkeypatch.undo()
    assert done.exit_code == 2
    assert "cannot be read or written: Permission denied" in done.output
    assert sorted(f for f in tmp_path.rglob("*") if ".partial" not in f.name and ".tmp" not in f.name) == before
    for _ in range(2):
        score(one, path, tmp_path / "parts")
    assert [f.name for f in (tmp_path / "parts").iterdir()] == ["00000000-00000.parquet"]


def test_numbers_of_threads_and_seeds_are_checked(tmp_path):
    one = small_model(tmp_path)
    frame = pd.DataFrame({"sex": ["male"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    for wrong in (-1, 0, 1.5):
        with pytest.raises(CohortError, match="threads must be a whole number of at least 1"):
            one.diagnose_frame(frame, threads=wrong)
        with pytest.raises(CohortError, match="jobs must be a whole number of at least 1"):
            score(one, tmp_path / "a.csv", tmp_path / "o.csv", jobs=wrong)
    for wrong in (-1, 0.5):
        with pytest.raises(bayesnet.EvidenceError, match="seed must be a whole number of at least 0"):
            one.simulate(2, seed=wrong)
    assert bayes("simulate", "-n", 2, "-o", tmp_path / "a.csv", "--seed", -1).exit_code == 2
