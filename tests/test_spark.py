"""The cohort's answers inside a local Spark, from two Python workers."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pandas as pd
import pytest

import bayesnet
from bayesnet.cohort import spark as on_spark

pyspark = pytest.importorskip("pyspark", reason="pyspark is missing: pip install pyspark")
if shutil.which("java") is None:
    pytest.skip("Java is missing (on Debian: apt-get install default-jre-headless)", allow_module_level=True)


@pytest.fixture(scope="module")
def session():
    from pyspark.sql import SparkSession

    # The workers run this interpreter, whatever python3 the PATH has.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        made = started(SparkSession)
        yield made
        made.stop()


def started(builder):
    return (
        builder.builder.master("local[2]").config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "150").getOrCreate()
    )


def test_spark_gives_the_answers_of_one_process(session):
    model = bayesnet.load("pt_failure")
    frame = pd.read_csv("data/sample_cohort.csv", dtype=str).head(500).astype(object)
    frame = frame.where(frame.notna(), None)
    frame.insert(0, "id", [f"p{i:03d}" for i in range(len(frame))])
    frame.loc[7, "fever"] = "rather"
    patients = session.createDataFrame(
        frame, schema=", ".join(f"`{c}` string" for c in frame.columns)
    ).repartition(4)
    options = {"keep": ["id"]}
    found = (
        patients.mapInArrow(on_spark.answers(model, **options), on_spark.schema(model, **options))
        .toPandas().set_index("id").sort_index()
    )
    expected = model.diagnose_frame(frame.set_index("id"), errors="column")
    assert list(found.columns) == list(expected.columns)
    assert found.index.tolist() == expected.index.tolist()
    numbers = expected.select_dtypes("number").columns
    np.testing.assert_array_equal(found[numbers].to_numpy(), expected[numbers].to_numpy())
    good = expected["error"].isna()
    assert (~good).sum() == 1
    assert "rather" in found.loc["p007", "error"]
    for column in ("top_cause", "triage"):
        assert found.loc[good, column].tolist() == expected.loc[good, column].astype(str).tolist()
