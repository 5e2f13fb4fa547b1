"""Graph checks: what is refused, and what the message says."""

from __future__ import annotations

import pickle
import re
from itertools import pairwise

import numpy as np
import pytest

from bayesnet.errors import (
    CohortError,
    ImpossibleEvidenceError,
    MissingExtraError,
    NetworkError,
    NetworkFileError,
    Problem,
    TooLargeError,
)
from bayesnet.interchange.bif import parse_bif, write_bif
from bayesnet.interchange.pgmpy import from_pgmpy
from bayesnet.network import Network, NoisyMax, OddsRatio, Table, Variable
from bayesnet.network.prevalence import solve_intercepts

A, B = Variable("alpha"), Variable("beta")
HALF = Table((), [0.5, 0.5])


def given(parent):
    return Table((parent,), [[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("distributions", "message"),
    [
        ({"alpha": HALF, "beta": given("alhpa")}, "unknown parent 'alhpa'. Did you mean alpha?"),
        ({"alpha": given("beta"), "beta": given("alpha")}, "the arcs form a cycle: "),
        ({"alpha": HALF}, "beta: has no distribution"),
        ({"alpha": HALF, "beta": Table((), [0.5, 0.4])}, "sums to 0.9 instead of 1"),
        ({"alpha": HALF, "beta": Table((), [1.5, -0.5])}, "probability 1.5, outside [0, 1]"),
        ({"alpha": HALF, "beta": Table((), [np.nan, 1])}, "not a finite number"),
        ({"alpha": HALF, "beta": Table((), [0.2, 0.3, 0.5])}, "shape (3,), expected (2,)"),
        (
            {"alpha": HALF, "beta": NoisyMax(("alpha",), ([[0.5, 0.5], [0.1, 0.9]],), [0.9, 0.1])},
            "the link of alpha acts in its baseline state",
        ),
    ],
)
def test_what_is_not_a_network_is_refused(distributions, message):
    with pytest.raises(NetworkError) as error:
        Network([A, B], distributions)
    assert message in str(error.value)


def test_every_problem_is_listed_at_once():
    with pytest.raises(NetworkError) as error:
        Network([A, B], {"alpha": given("x"), "beta": Table((), [0.5, 0.4])})
    assert len(error.value.problems) == 2
    assert "2 problems" in str(error.value)


def test_cycle_is_named_in_arc_direction():
    three = [Variable(x) for x in "abc"]
    with pytest.raises(NetworkError, match=r"a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c"):
        Network(three, {"a": given("c"), "b": given("a"), "c": given("b")})


def test_a_network_cannot_be_changed():
    network = Network([A, B], {"alpha": HALF, "beta": given("alpha")})
    with pytest.raises(AttributeError):
        network.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        network.table("beta")[0, 0] = 1
    with pytest.raises(TypeError):
        network.variables["gamma"] = A


def test_pickles_and_compares():
    network = Network([A, B], {"alpha": HALF, "beta": given("alpha")})
    assert pickle.loads(pickle.dumps(network)) == network
    assert network.replace({"alpha": Table((), [0.4, 0.6])}) != network


def test_huge_noisy_or_has_factors_but_no_table():
    parents = [Variable(f"p{i}") for i in range(40)]
    link = np.array([[1, 0], [0.7, 0.3]])
    child = NoisyMax(tuple(p.id for p in parents), (link,) * 40, [0.9, 0.1])
    network = Network([*parents, A], {**{p.id: HALF for p in parents}, "alpha": child})
    with pytest.raises(TooLargeError, match="40 parents"):
        network.table("alpha")
    assert len(network.factors_of("alpha")) == 41


def test_a_stated_prevalence_holds_below_a_long_history():
    """A chain of 70 ancestors: more than einsum has letters."""
    yes = ("absent", "present")
    step = np.array([[0.9, 0.1], [0.3, 0.7]])
    names = [f"v{i}" for i in range(70)]
    distributions = {"v0": Table((), np.array([0.8, 0.2]))} | {
        b: Table((a,), step) for a, b in pairwise(names)
    }
    names.append("disease")
    ratio = np.array([[1.0, 1.0], [1.0, 5.0]])
    distributions["disease"] = OddsRatio(("v69",), np.array([[0.9, 0.1]]), (ratio,), None)
    network = Network([Variable(v, yes) for v in names], distributions)
    risk = np.array([0.8, 0.2]) @ np.linalg.matrix_power(step, 69)
    np.testing.assert_allclose(network.parent_joint("disease"), risk, rtol=1e-12)
    table = network.table("disease")
    assert risk @ table[:, 1] == pytest.approx(0.1, rel=1e-12)
    odds = table[:, 1] / table[:, 0]
    assert odds[1] / odds[0] == pytest.approx(5)


def test_how_far_an_arc_moves_its_child():
    c = Variable("gamma")
    network = Network([A, B, c], {
        "alpha": HALF,
        "beta": given("alpha"),
        # By either state of beta: alpha moves gamma by 0.4 and by 0.2.
        "gamma": Table(("alpha", "beta"), [[[0.9, 0.1], [0.6, 0.4]], [[0.5, 0.5], [0.4, 0.6]]]),
    })
    assert network.arc_strength("alpha", "beta") == pytest.approx(0.7)
    assert network.arc_strength("alpha", "gamma") == pytest.approx(0.3)
    with pytest.raises(KeyError, match="no arc"):
        network.arc_strength("gamma", "beta")
    noisy = Network([A, B, c], {
        "alpha": HALF, "beta": HALF,
        "gamma": NoisyMax(("alpha", "beta"), ([[1, 0], [0.4, 0.6]], [[1, 0], [0.9, 0.1]]), [0.8, 0.2]),
    })
    # From the leak 0.2 to 1 - 0.8 * 0.4.
    assert noisy.arc_strength("alpha", "gamma") == pytest.approx(0.68 - 0.2)
    assert noisy.arc_strength("beta", "gamma") == pytest.approx(0.28 - 0.2)


def test_many_prevalences_are_solved_at_once():
    """Odds ratios to e^6 and prevalences to 1e-12, some zero: each holds, solved together or alone."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        problems, configurations, states = [*rng.integers(1, 30, 2).tolist(), int(rng.integers(2, 5))]
        log_odds = rng.normal(0, 2, (problems, configurations, states))
        log_odds[..., 0] = 0
        weights = rng.dirichlet(np.ones(configurations), problems)
        wanted = np.maximum(rng.dirichlet(np.full(states, 0.3), problems), 1e-12)
        wanted[:, 1:][rng.random((problems, states - 1)) < 0.2] = 0
        wanted[:, 0] = np.maximum(wanted[:, 0], 0.01)
        wanted /= wanted.sum(axis=1, keepdims=True)
        a = solve_intercepts(log_odds, weights, wanted)
        assert (np.isfinite(a) == (wanted > 0)).all()
        odds = np.exp(a[:, None] + log_odds)
        found = np.einsum("nc,ncs->ns", weights, odds / odds.sum(axis=-1, keepdims=True))
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=0)
        alone = [solve_intercepts(x, w[None], q[None])[0] for x, w, q in zip(log_odds, weights, wanted, strict=True)]
        np.testing.assert_allclose(a, alone, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("error", [
    NetworkError(["one thing", "another"]), ImpossibleEvidenceError("both", ["a", "b"]),
    MissingExtraError("A cluster", "cluster"), CohortError([Problem("is bad", "row 3")]),
])
def test_errors_come_home_from_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_any_names_are_written_in_bif_and_read_again():
    rain = Variable("heavy rain (mm)", ("none, or a trace", "some; or {more}"))
    wet = Variable("wet|grass", ("no", "// yes", "[1]"))
    table = Table((rain.id,), [[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    network = Network([rain, wet], {rain.id: HALF, wet.id: table}, "a {lawn}, here")
    again = parse_bif(write_bif(network))
    assert again == network
    assert again.name == network.name


@pytest.mark.parametrize("name", ['so "called"', ",", ""])
def test_names_that_bif_cannot_hold_are_named(name):
    network = Network([Variable("a", ("no", name))], {"a": HALF})
    with pytest.raises(NetworkFileError, match=re.escape(f"the name {name!r} cannot be written in BIF")):
        write_bif(network)


@pytest.mark.parametrize(("row", "message"), [
    ("(no) 0.5, 0.5;", r"b: the row \(no\) is given twice"),
    ("table 0.5, 0.5, 0.5, 0.5;", "b: a table of rows that are given already"),
])
def test_a_row_of_a_bif_file_is_given_once(row, message):
    network = Network([Variable("a", ("no", "yes")), Variable("b")], {"a": HALF, "b": given("a")})
    text = write_bif(network)
    end = "  (yes) 0.2, 0.8;\n"
    with pytest.raises(NetworkFileError, match=message):
        parse_bif(text.replace(end, f"{end}  {row}\n"))


def test_what_is_no_network_of_pgmpy_is_refused():
    from pgmpy.models import DiscreteBayesianNetwork

    with pytest.raises(NetworkError, match=r"expected a network of pgmpy, .*, not NoneType"):
        from_pgmpy(None)
    with pytest.raises(NetworkError, match=r"(?s)node 'a' has no CPD.*node 'b' has no CPD"):
        from_pgmpy(DiscreteBayesianNetwork([("a", "b")]))
