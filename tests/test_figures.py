"""Figures say what the answers say, nothing collides, and files are the same every time.

The pictures in `tests/baseline` are compared by pytest-mpl. When a change is meant, look at the new
ones after `python -m pytest tests/test_figures.py --mpl-generate-path=tests/baseline`.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import test_attribution
from test_questions import EVIDENCE, PATHWAYS
from typer.testing import CliRunner

import bayesnet
from bayesnet.cli import app
from bayesnet.diagnosis.interview import Interview
from bayesnet.diagnosis.words import FAMILIES, parameter_words
from bayesnet.errors import BayesnetError, EvidenceError
from bayesnet.shipped import data_file
from bayesnet.validation import read_cases
from bayesnet.validation.metrics import calibration_bins
from bayesnet.viz import layout
from bayesnet.viz.calibration_figure import plot_calibration
from bayesnet.viz.cohort_figure import plot_cohort
from bayesnet.viz.influence import influence
from bayesnet.viz.network_figure import plot_network
from bayesnet.viz.patient_network_figure import patient_network
from bayesnet.viz.save import save_figure
from bayesnet.viz.style import THEMES

mpl.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
ENGINES = ["igraph", pytest.param("dot", marks=pytest.mark.skipif(
    layout.shutil.which("dot") is None, reason="Graphviz is not installed"))]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def small(tmp_path):
    test_attribution.model_of(tmp_path, 1)
    (tmp_path / "pathways.yaml").write_text(PATHWAYS, encoding="utf-8")
    return bayesnet.load(tmp_path)


@pytest.fixture(scope="module")
def cases(model):
    return {c.id: c for c in read_cases(data_file("cases", "dev_cases.jsonl"), model)}


@pytest.fixture
def one_engine(monkeypatch):
    """The same picture with and without Graphviz."""
    monkeypatch.setattr(layout.shutil, "which", lambda name: None)


def named(ax, prefix):
    """The artists whose gid starts with `prefix`, by the rest of it."""
    found = {}
    for artist in (*ax.patches, *ax.lines, *ax.texts):
        gid = artist.get_gid() or ""
        if gid.startswith(prefix + ":"):
            found.setdefault(gid.removeprefix(prefix + ":"), []).append(artist)
    return found


def boxes_of(artists):
    figure = artists[0].get_figure(root=True)
    if figure.stale:
        figure.canvas.draw()
    return [a.get_window_extent() for a in artists]


def area_shared(a, b):
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(wide, 0) * max(high, 0)


def assert_apart(artists):
    boxes = boxes_of(artists)
    for (i, a), (j, b) in itertools.combinations(enumerate(boxes), 2):
        assert area_shared(a, b) == 0, (artists[i].get_text(), artists[j].get_text())


def all_texts(ax):
    shown = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label,
             ax.yaxis.label, ax.title, ax._left_title]
    if ax.get_legend():
        shown += ax.get_legend().get_texts()
    return [t for t in shown if t.get_text() and t.get_visible()]


# ------------------------------------------------------------------ nothing collides


@pytest.mark.parametrize(("theme", "sheet"), [
    ("light", "landscape"), ("dark", "landscape"), ("light", "portrait")])
def test_no_two_labels_of_the_whole_network_overlap(model, theme, sheet):
    ax = plot_network(model.network, theme=theme, sheet=sheet)
    labels = named(ax, "label")
    assert set(labels) == set(model.network.variables)
    texts = [t for t in ax.texts if t.get_text()]
    assert_apart(texts)
    page = ax.get_figure().bbox
    for box in boxes_of(texts):
        assert page.x0 <= box.x0 <= box.x1 <= page.x1
        assert page.y0 <= box.y0 <= box.y1 <= page.y1
    # Readable where it fills a printed page (with the rim of a file), and in the words of the model.
    wide, high = (x + 0.3 for x in ax.get_figure().get_size_inches())
    page_wide, page_high = {"landscape": (10, 7), "portrait": (7, 9.7)}[sheet]
    assert wide <= page_wide + 1e-9
    assert high <= page_high + 1e-9
    assert min(t.get_fontsize() for t in texts) >= 6
    for v, (text,) in labels.items():
        assert text.get_text().replace("-\n", "-").replace("\n", " ") == model.network[v].name


def test_arcs_stay_on_the_page(model):
    """Also those inside the first column, which bulge to the left."""
    ax = model.plot()
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    drawn = next(c for c in ax.collections if c.get_gid() == "arcs")
    points = np.vstack([p.interpolated(8).vertices for path in drawn.get_paths()
                        for p in [mpl.path.Path(path.to_polygons(closed_only=False)[0])]])
    assert left <= points[:, 0].min()
    assert points[:, 0].max() <= right
    assert top <= points[:, 1].min()
    assert points[:, 1].max() <= bottom


def test_very_many_arcs_into_one_variable_are_told_in_words(model):
    ax = model.plot()
    (text,) = named(ax, "hub")["pt_failure"]
    assert text.get_text() == f"from all {len(model.network.parents('pt_failure'))} causes"
    drawn = next(c for c in ax.collections if c.get_gid() == "arcs")
    arcs = sum(len(model.network.parents(v)) for v in model.network.variables)
    assert len(drawn.get_paths()) == arcs - 34
    assert any(f"{arcs} arcs" in t.get_text() for t in ax.texts)


def test_a_part_of_the_network_is_a_variable_and_its_neighbours(model):
    network = model.network
    ax = plot_network(network, of="spinal_stenosis")
    children = {v for v in network.variables if "spinal_stenosis" in network.parents(v)}
    around = {"spinal_stenosis", *network.parents("spinal_stenosis"), *children}
    assert set(named(ax, "label")) == around
    drawn = next(c for c in ax.collections if c.get_gid() == "arcs")
    assert len(drawn.get_paths()) == len(around) - 1
    family = {v.id for v in network.variables.values() if v.group == "structural"}
    ax = plot_network(network, of="structural", sheet="portrait")
    assert family < set(named(ax, "label")) < set(network.variables)
    assert_apart([t for t in ax.texts if t.get_text()])
    assert {v for v, (t,) in named(ax, "label").items() if t.get_weight() == "bold"} == family


def test_an_unknown_part_or_sheet_says_what_to_write(model):
    with pytest.raises(BayesnetError, match="Did you mean spinal_stenosis"):
        plot_network(model.network, of="spinal_stenosys")
    with pytest.raises(BayesnetError, match="Did you mean portrait"):
        plot_network(model.network, sheet="portrat")
    plain = bayesnet.read_network("tests/networks/asia.bif.gz").network
    with pytest.raises(BayesnetError, match="have roles"):
        plot_network(plain, of="lung")


def test_labels_of_the_network_shrink_with_its_axes(model):
    figure = mpl.figure.Figure(figsize=(6, 4))
    ax = model.plot(ax=figure.add_subplot())
    assert_apart([t for t in ax.texts if t.get_text()])


def test_columns_run_from_context_to_findings(model):
    ax = model.plot()
    x = {v: t.get_position()[0] for v, (t,) in named(ax, "label").items()}
    columns = [[x[v] for v in model.network.of_role(*roles)] for roles in (
        ("context",), ("cause",), ("mechanism", "outcome"),
        ("history", "examination", "test", "questionnaire", "programme"))]
    for left, right in itertools.pairwise(columns):
        assert max(left) < min(right)


@pytest.mark.parametrize("case", ["medbullets-017", "spineuniverse-rouben-55m", "medxpert-2107",
                                  "wahl-2013", "mechelli-2008", "medqa-0726"])
def test_boxes_of_a_patient_stand_apart_and_hold_their_text(model, cases, case):
    ax = model.diagnose(cases[case].evidence()).plot_network()
    frames = {v: p[0] for v, p in named(ax, "box").items()}
    boxes = dict(zip(frames, boxes_of(list(frames.values())), strict=True))
    for a, b in itertools.combinations(boxes.values(), 2):
        assert area_shared(a, b) == 0
    for v, lines in named(ax, "text").items():
        for box in boxes_of(lines):
            assert boxes[v].x0 <= box.x0 <= box.x1 <= boxes[v].x1
            assert boxes[v].y0 <= box.y0 <= box.y1 <= boxes[v].y1
    # A line may end at a box; it never runs behind one.
    for arc, (line,) in named(ax, "arc").items():
        points = line.get_transform().transform_path(line.get_path()).to_polygons(closed_only=False)
        for v, box in boxes.items():
            if v not in arc.split(":"):
                inside = (box.x0 < points[0][:, 0]) & (points[0][:, 0] < box.x1) & (
                    box.y0 < points[0][:, 1]) & (points[0][:, 1] < box.y1)
                assert not inside.any(), (arc, v)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["causes", "intervals", "why", "attribution", "tornado", "next",
                                  "interview"])
def test_no_two_texts_of_a_chart_overlap(model, cases, kind, theme):
    result = model.diagnose(cases["medbullets-017"].evidence())
    draw = {
        "causes": lambda: result.plot(theme=theme),
        "intervals": lambda: result.plot(intervals=result.intervals(20), theme=theme),
        "why": lambda: result.why("facet_joint_pain").plot(theme=theme),
        "attribution": lambda: result.attribution.plot(theme=theme),
        "tornado": lambda: result.sensitivity().plot(theme=theme),
        "next": lambda: result.plot_next(theme=theme),
        "interview": lambda: talked(model).plot(theme=theme),
    }
    ax = draw[kind]()
    assert_apart(all_texts(ax))
    said = " ".join(t.get_text() for t in ax.texts).replace("\n", " ")
    assert model.disclaimer in said


def talked(model):
    talk = Interview(model, {"age": 26})
    for finding, value in (("fatigue", "absent"), ("rest_response", "worse"),
                           ("widespread_pain", None), ("morning_stiffness", "over_30_min")):
        talk = talk.answer(finding, value)
    return talk


def contrast(a, b):
    """The contrast ratio of WCAG 2.2, from sRGB."""
    def luminance(colour):
        c = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
             for x in mpl.colors.to_rgb(colour)]
        return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda t: t.name)
def test_words_can_be_read_on_their_paper(theme):
    assert contrast(theme.ink, theme.paper) >= 12
    written = {theme.muted, *theme.families.values(), *theme.roles.values()} - {
        theme.roles["mechanism"]}
    assert min(contrast(c, theme.paper) for c in written) >= 4.5
    assert contrast(theme.roles["mechanism"], theme.paper) >= 3


# ------------------------------------------------------------------ what is drawn is what was found


def test_bars_ticks_and_whiskers_of_the_causes(small):
    result = small.diagnose(EVIDENCE)
    found = result.intervals(200, seed=3)
    ax = result.plot(intervals=found)
    for r in result.results:
        (bar,), (dark,) = named(ax, "posterior")[r.cause], named(ax, "necessity")[r.cause]
        assert (bar.get_x(), bar.get_width()) == (0, pytest.approx(r.posterior))
        assert (dark.get_x(), dark.get_width()) == (0, pytest.approx(r.necessity))
        (tick,), (whisker,) = named(ax, "prior")[r.cause], named(ax, "interval")[r.cause]
        assert list(tick.get_xdata()) == pytest.approx([r.prior] * 2)
        ends = np.quantile(found.posterior[r.cause], [0.025, 0.975])
        assert list(whisker.get_xdata()) == pytest.approx(list(ends))
    assert not named(result.plot(), "interval")


@pytest.mark.parametrize("intervals", [False, True])
def test_every_hue_of_the_causes_is_named(model, cases, intervals):
    result = model.diagnose(cases["medbullets-017"].evidence())
    ax = result.plot(intervals=result.intervals(20) if intervals else False)
    legend = ax.get_legend()
    named_hues = {t.get_text(): mpl.colors.to_hex(h.get_facecolor())
                  for t, h in zip(legend.get_texts(), legend.legend_handles, strict=True)
                  if t.get_text() in FAMILIES.values()}
    drawn = {FAMILIES[result[c].family]: mpl.colors.to_hex(bar.get_facecolor())
             for c, (bar,) in named(ax, "necessity").items()}
    assert named_hues == drawn


def test_the_caption_of_a_calibration_lies_on_nothing():
    ax = plot_calibration(np.linspace(0, 1, 200), [1] * 200, name="all the same")
    caption = next(t for t in ax.texts if t.get_gid() == "caption")
    (box,) = boxes_of([caption])
    assert box.y0 > ax.get_window_extent().y1
    assert_apart([caption, ax._left_title])


def test_waterfall_steps_lead_from_prior_to_posterior_odds(small):
    result = small.diagnose({"walk": "present", "sex": "male", "diary": "absent"})
    ax = result.why("narrow").plot()
    steps = [s[0] for s in named(ax, "step").values()]
    at = {k: line.get_xdata()[0] for k in ("before", "after")
          for line in ax.lines if line.get_gid() == k}
    r = result["narrow"]
    assert at["before"] == pytest.approx(10 * math.log10(r.prior / (1 - r.prior)))
    assert at["after"] == pytest.approx(10 * math.log10(r.posterior / (1 - r.posterior)))
    x = at["before"]
    known = {}
    for bar, (v, s) in zip(steps, result.findings.items(), strict=False):
        before = small.diagnose(known)["narrow"].posterior
        known[v] = s
        after = small.diagnose(known)["narrow"].posterior
        expected = 10 * math.log10(after / (1 - after) * (1 - before) / before)
        if abs(expected) < 0.05:
            break
        assert bar.get_x() == pytest.approx(x)
        assert bar.get_width() == pytest.approx(expected)
        x += expected


def test_a_settled_cause_has_no_waterfall(small):
    settled = small.diagnose({"narrow": "severe"}).why("narrow")
    with pytest.raises(BayesnetError, match="the findings settle it"):
        settled.plot()


def test_headlines_say_what_is_given(small):
    for findings, said in (({}, "Why: failed, given no finding"),
                           ({"sex": "male", "walk": None}, "Why: failed, given 1 finding"),
                           (EVIDENCE, f"Why: failed, given {len(EVIDENCE)} findings"),
                           ({"sex": "male", "failed": None}, "Probable causes, given 1 finding")):
        assert small.diagnose(findings).plot().get_title(loc="left") == said


def test_findings_that_repeat_each_other_are_drawn(model):
    """Night pain alone says nothing of spondyloarthritis here; with its like it says a lot."""
    result = model.diagnose({
        "rest_response": "worse", "exercise_response": "better", "morning_stiffness": "over_30_min",
        "second_half_night_waking": True, "alternating_buttock_pain": True, "night_pain": True,
    })
    alone = {f.finding: f.weight for f in result.why("axial_spondyloarthritis").findings}
    assert abs(alone["night_pain"]) < 0.2
    shown = patient_network(result)
    assert shown.left_out == ()
    assert shown.weights["inflammatory_pain", "pain_pattern"] > 0.5


def test_a_change_is_marked_where_its_numbers_differ(small):
    ax = small.diagnose({"walk": "present"}).plot_network()
    (_, change, _) = (t.get_text() for t in named(ax, "text")["narrow"])
    r = small.diagnose({"walk": "present"})["narrow"]
    assert change == f"{100 * r.posterior:.0f} % ▲ from {100 * r.prior:.0f} %"
    ax = small.diagnose({}).plot_network()
    assert named(ax, "text")["narrow"][1].get_text().endswith("%, as before")


def test_shares_add_up_to_one_in_the_picture(small):
    found = small.diagnose(EVIDENCE).attribution
    ax = found.plot(top=3)
    widths = [p[0].get_width() for p in named(ax, "share").values()]
    assert len(widths) == 5
    assert sum(widths) == pytest.approx(1)
    for i, s in enumerate(found.shares[:3]):
        assert widths[i] == pytest.approx(s.share)
        alone = small.diagnose(EVIDENCE).success_without(s.cause)
        assert named(ax, "total")[str(i)][0].get_xdata()[0] == pytest.approx(alone)


def test_tornado_ends_are_the_posteriors_at_the_ends(small):
    found = small.diagnose(EVIDENCE).sensitivity("narrow")
    ax = found.plot(top=4)
    for y, row in enumerate(found.table.head(4).itertuples()):
        for end in ("low", "high"):
            (bar,) = named(ax, end)[str(y)]
            expected = getattr(row, f"posterior_{end}")
            assert bar.get_x() == pytest.approx(found.posterior)
            assert bar.get_x() + bar.get_width() == pytest.approx(expected)


def test_parameters_in_words(model):
    network = model.network
    assert parameter_words(network, "enthesitis/leak") == "Tender tendon insertions, from anything else"
    assert parameter_words(network, "axial_spondyloarthritis/sex") == (
        "Axial spondyloarthritis, odds ratio of Sex")
    assert parameter_words(network, "course/pain_pattern=inflammatory: progressive") == (
        "Course of the pain progressive, given Dominant pain pattern inflammatory")
    assert parameter_words(network, "facet_joint_pain/50-64") == "Facet joint pain, how common (50-64)"
    assert parameter_words(network, "pain_duration/prevalence/mechanical: over_12_months") == (
        "Duration of this episode over 12 months, given Dominant pain pattern mechanical")
    assert parameter_words(network, "pulsatile_abdominal_mass/none/absent") == (
        "Pulsating abdominal mass, given Width of the aorta none, Obesity absent")
    assert parameter_words(network, "immunosuppression/absent") == "Immunosuppression, given Glucocorticoid use absent"


def test_bars_of_the_next_findings(small):
    result = small.diagnose({"sex": "male"})
    ax = result.plot_next()
    bars = {f: p[0].get_width() for f, p in named(ax, "information").items()}
    assert set(bars) == {"walk", "diary"}
    entropy = lambda d: sum(  # noqa: E731
        -q * math.log2(q) for r in d.results for q in r.states.values() if q > 0)
    chance = result.posterior("walk")["walk"]
    after = sum(p * entropy(small.diagnose({"sex": "male", "walk": s})) for s, p in chance.items())
    assert bars["walk"] == pytest.approx(entropy(result) - after, rel=1e-6)


def test_a_calibration_worked_out_by_hand():
    p = [0.1, 0.1, 0.2, 0.2, 0.6, 0.6, 0.8, 0.8]
    y = [0, 0, 1, 0, 1, 0, 1, 1]
    first, second = calibration_bins(p, y, 2)
    assert (first.n, first.hits, first.predicted, first.observed) == (4, 1, pytest.approx(0.15), 0.25)
    assert (second.n, second.hits, second.observed) == (4, 3, 0.75)
    # Wilson for 1 of 4, as tabulated: 0.0456 to 0.6994.
    assert (first.low, first.high) == (pytest.approx(0.0456, abs=1e-4), pytest.approx(0.6994, abs=1e-4))
    ax = plot_calibration(p, y, bins=2)
    line = next(x for x in ax.lines if x.get_gid() == "observed")
    assert line.get_xydata() == pytest.approx(np.array([[0.15, 0.25], [0.7, 0.75]]))
    # One prediction for all is one bin, however many are asked for.
    assert len(calibration_bins([0.3] * 9, [0, 1, 0] * 3)) == 1
    for wrong in (([0.2], [0, 1]), ([1.2], [1]), ([0.5], [2]), ([], [])):
        with pytest.raises(BayesnetError):
            calibration_bins(*wrong)


def test_the_course_of_an_interview_is_the_diagnosis_after_each_answer(model):
    talk = talked(model)
    ax = talk.plot(causes=["axial_spondyloarthritis"])
    line = next(x for x in ax.lines if x.get_gid() == "course:axial_spondyloarthritis")
    known = {"age": 26}
    expected = [model.diagnose(known)["axial_spondyloarthritis"].posterior]
    for v in talk.asked:
        known = {k: x for k, x in {**known, v: talk.findings.get(v)}.items() if x is not None}
        expected.append(model.diagnose(known)["axial_spondyloarthritis"].posterior)
    assert list(line.get_xdata()) == pytest.approx(expected)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == "Start (Age: 26 years)"
    assert "Widespread pain: not known" in labels
    with pytest.raises(EvidenceError, match="no cause 'feer'"):
        talk.plot(causes=["feer"])


def test_the_heat_map_holds_the_numbers(small):
    rows = {i: small.diagnose(e) for i, e in {"a": {}, "b": EVIDENCE}.items()}
    frame = pd.DataFrame({i: {r.cause: r.posterior for r in d.results} for i, d in rows.items()}).T
    ax = plot_cohort(frame)
    mesh = next(c for c in ax.collections if c.get_gid() == "heat")
    assert np.asarray(mesh.get_array()).reshape(frame.shape) == pytest.approx(frame.to_numpy())
    # With a model the columns go by family, and labels go with their numbers.
    grouped = plot_cohort(frame, model=small)
    mesh = next(c for c in grouped.collections if c.get_gid() == "heat")
    names = [t.get_text() for t in grouped.get_xticklabels()]
    by_name = {small.network[c].name: frame[c].to_numpy() for c in frame}
    drawn = np.asarray(mesh.get_array()).reshape(frame.shape)
    for i, name in enumerate(names):
        assert drawn[:, i] == pytest.approx(by_name[name])
    with pytest.raises(BayesnetError, match="from 0 to 1"):
        plot_cohort(frame * 3)
    with pytest.raises(BayesnetError, match="no rows"):
        plot_cohort(frame.iloc[:0])


def test_boxes_are_filled_as_far_as_probable(small):
    result = small.diagnose({"walk": "present", "sex": "male"})
    ax = result.plot_network(causes=3)
    for r in result.results:
        if r.cause not in named(ax, "box"):
            continue
        (frame,), (fill,) = named(ax, "box")[r.cause], named(ax, "fill")[r.cause]
        assert fill.get_width() / frame.get_width() == pytest.approx(r.posterior)
        (tick,) = named(ax, "prior")[r.cause]
        assert (tick.get_xdata()[0] - frame.get_x()) / frame.get_width() == pytest.approx(r.prior)
    assert [t.get_text() for t in named(ax, "text")["walk"]] == ["Walk", "present"]


def test_mechanisms_of_a_patient(model, cases):
    """Fill and tick of a hidden variable against plain queries, with and without the findings."""
    evidence = cases["medbullets-017"].evidence()
    shown = patient_network(model.diagnose(evidence))
    box = shown.boxes["inflammatory_pain"]
    now = model.posterior("inflammatory_pain", {**evidence, "pt_failure": True})
    before = model.posterior("inflammatory_pain", {"pt_failure": True})
    assert box.posterior == pytest.approx(now["inflammatory_pain"]["present"])
    assert box.prior == pytest.approx(before["inflammatory_pain"]["present"])
    drawn = {v for v in shown.boxes if v in evidence}
    assert len(drawn) + len(shown.left_out) == len(evidence)
    assert "axial_spondyloarthritis" in shown.boxes


def test_weight_along_an_arc_by_leaving_the_finding_out(model, cases):
    evidence = cases["medbullets-017"].evidence()
    shown = patient_network(model.diagnose(evidence))
    weight = shown.weights["axial_spondyloarthritis", "enthesitis"]

    def decibans(known):
        p = model.diagnose(known)["axial_spondyloarthritis"].posterior
        return 10 * math.log10(p / (1 - p))

    rest = {v: x for v, x in evidence.items() if v != "enthesitis"}
    assert weight == pytest.approx(decibans(evidence) - decibans(rest))


def test_influence_by_hand():
    """Asia's tables are printed in Lauritzen & Spiegelhalter (1988)."""
    network = bayesnet.read_network("tests/networks/asia.bif.gz").network
    assert influence(network, "smoke", "lung") == pytest.approx(0.1 - 0.01)
    assert influence(network, "asia", "tub") == pytest.approx(0.05 - 0.01)
    # With and without lung disease: 0.9 against 0.7, and 0.8 against 0.1.
    assert influence(network, "bronc", "dysp") == pytest.approx((0.2 + 0.7) / 2)
    # Either is the logical or: it changes where the other parent is absent.
    assert influence(network, "tub", "either") == pytest.approx(0.5)
    with pytest.raises(KeyError, match="no arc"):
        influence(network, "asia", "lung")


def test_influence_of_a_link_is_its_probability(small):
    walk = small.network.distributions["walk"]
    assert walk.parents[0] == "narrow"
    assert influence(small.network, "narrow", "walk") == pytest.approx(0.8)


# ------------------------------------------------------------------ layout


def test_separated_is_the_least_squares_solution():
    """Against a general-purpose quadratic solver."""
    from scipy.optimize import minimize

    generator = np.random.default_rng(5)
    for n in (1, 2, 7):
        wanted, sizes = generator.uniform(-20, 20, n), generator.uniform(1, 9, n)
        weights = generator.uniform(0.5, 8, n)
        found = np.array(layout.separated(wanted, sizes, 2.0, weights))
        limits = [{"type": "ineq", "fun": lambda x, i=i: x[i + 1] - x[i] - 2 - sizes[i : i + 2].sum() / 2}  # noqa: B023
                  for i in range(n - 1)]
        start = np.cumsum(sizes + 3)
        best = minimize(lambda x: (weights * (x - wanted) ** 2).sum(), start, constraints=limits,  # noqa: B023
                        method="SLSQP", options={"ftol": 1e-12, "maxiter": 500})
        assert found == pytest.approx(best.x, abs=1e-3)
    assert layout.separated([], [], 1.0) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_without_need_of_crossings_gets_none(engine):
    layers = (("a", "b", "c"), ("z", "y", "x"))
    arcs = (("a", "x"), ("b", "y"), ("c", "z"), ("a", "y"), ("b", "z"))
    # By hand: all pairs cross but those that share an end; b-z and c-z, a-y and b-y, a-x and a-y.
    assert layout.crossings(layers, arcs) == 6
    assert layout.crossings(layout.layered_order(layers, arcs, engine), arcs) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_routed_nodes_and_lanes_keep_their_distance(engine):
    layers = (("a", "b"), ("m", "n"), ("x", "y"))
    arcs = (("a", "x"), ("a", "m"), ("b", "m"), ("m", "x"), ("n", "y"), ("y", "a"))
    way = layout.routed(layers, arcs, tuple((v, 20.0) for v in "abmnxy"), 5.0, engine)
    assert {v for layer in way.layers for v in layer} == set("abmnxy")
    assert [layer for layer, _ in way.lanes["a", "x"]] == [1]
    assert [layer for layer, _ in way.lanes["y", "a"]] == [1]
    assert way.lanes["a", "m"] == ()
    for i, layer in enumerate(way.layers):
        taken = [(way.at[v], 20.0) for v in layer]  # noqa: PD008
        taken += [(x, layout.LANE) for lanes in way.lanes.values() for j, x in lanes if j == i]
        taken.sort()
        for (p, wide), (q, other) in itertools.pairwise(taken):
            assert q - p >= (wide + other) / 2 + 5 - 1e-6


def test_layers_are_longest_paths():
    parents = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ()}
    assert layout.longest_path_layers(parents, "abcd") == (("a", "d"), ("b",), ("c",))


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_same_figure_is_the_same_file(small, tmp_path, ending):
    settings = dict(mpl.rcParams)
    for name in ("one", "two"):
        save_figure(small.diagnose(EVIDENCE).plot(), tmp_path / f"{name}.{ending}")
    one, two = ((tmp_path / f"{n}.{ending}").read_bytes() for n in ("one", "two"))
    assert one == two
    assert b"202" not in re.sub(rb"[^ -~]", b"", b"".join(re.findall(rb"\w*Date\W[^>\n]*", one)))
    assert dict(mpl.rcParams) == settings


def test_an_svg_has_every_text_of_the_figure(small, tmp_path):
    ax = small.diagnose(EVIDENCE).plot()
    save_figure(ax, tmp_path / "causes.svg")
    written = (tmp_path / "causes.svg").read_text()
    comments = set(re.findall(r"<!-- (.*?) -->", written))
    for text in all_texts(ax):
        for line in text.get_text().split("\n"):
            assert line.replace("--", "- -") in comments
    assert "<text" not in written, "letters are outlines, so that no font is missing elsewhere"


def test_an_unknown_ending_or_theme_says_what_to_write(small, tmp_path):
    ax = small.plot()
    with pytest.raises(BayesnetError, match=r"ends in .svg, .pdf or .png. Did you mean png"):
        save_figure(ax, tmp_path / "x.jpng")
    with pytest.raises(BayesnetError, match=r"cannot write .*nowhere"):
        save_figure(ax, tmp_path / "nowhere" / "x.png")
    with pytest.raises(BayesnetError, match="Did you mean dark"):
        small.plot(theme="drak")


def test_figures_without_a_display_though_windows_are_asked_for(tmp_path):
    code = (
        "import bayesnet; from bayesnet.viz.save import save_figure\n"
        "result = bayesnet.load('pt_failure').diagnose({'age': 40})\n"
        "save_figure(result.plot(), 'causes.png')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          check=False, env={**environment, "MPLBACKEND": "QtAgg"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "causes.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------ command line


MAGIC = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}


@pytest.mark.parametrize(("arguments", "ending"), [
    (["network"], "svg"), (["patient", "--case", "wahl-2013", "--theme", "dark"], "pdf"),
    (["causes", "--case", "wahl-2013"], "png"), (["attribution", "--case", "wahl-2013"], "svg"),
    (["why", "--case", "wahl-2013", "--cause", "spinal_stenosis"], "pdf"),
    (["tornado", "--case", "wahl-2013"], "png"), (["next", "--case", "wahl-2013"], "svg"),
    (["cohort"], "png"),
])
def test_plot_writes_each_figure(tmp_path, arguments, ending):
    path = tmp_path / f"figure.{ending}"
    done = CliRunner().invoke(app, ["plot", *arguments, "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert path.read_bytes().startswith(MAGIC[ending])


def test_plot_draws_a_part_of_the_network_by_id_or_label(tmp_path):
    drawn = []
    for part in ("spinal_stenosis", "Spinal stenosis"):
        path = tmp_path / "part.svg"
        done = CliRunner().invoke(app, ["plot", "network", "--of", part, "--sheet", "portrait", "-o", str(path)])
        assert done.exit_code == 0, done.output
        drawn.append(path.read_text())
    assert drawn[0] == drawn[1]
    assert "<!-- Pancreatitis -->" not in drawn[0]
    assert "<!-- Limited -->" in drawn[0]


def test_plot_reads_tables_and_saved_interviews(model, tmp_path):
    import json

    (tmp_path / "talk.json").write_text(json.dumps(talked(model).to_dict()))
    pd.DataFrame({"predicted": [0.1, 0.8, 0.4], "outcome": [0, 1, 1]}).to_csv(tmp_path / "p.csv")
    pd.DataFrame({"spinal_stenosis": [0.1, 0.9]}, index=["x", "y"]).to_csv(tmp_path / "c.csv")
    for kind, source in (("interview", "talk.json"), ("calibration", "p.csv"), ("cohort", "c.csv")):
        path = tmp_path / f"{kind}.svg"
        done = CliRunner().invoke(app, ["plot", kind, str(tmp_path / source), "-o", str(path)])
        assert done.exit_code == 0, done.output
        assert "<svg" in path.read_text()
    assert "Spinal stenosis" in (tmp_path / "cohort.svg").read_text()


def test_help_of_plot_has_examples():
    shown = " ".join(CliRunner().invoke(app, ["plot", "--help"]).output.split())
    assert "bayesnet plot network -o network.svg" in shown


@pytest.mark.parametrize(("arguments", "said"), [
    (["nework", "-o", "x.svg"], "Did you mean network?"),
    (["network"], "name the file to write"),
    (["network", "-o", "x.jpg"], "ends in .svg, .pdf or .png"),
    (["network", "-o", "x.svg", "--theme", "drak"], "Did you mean dark?"),
    (["network", "-o", "x.svg", "--of", "spinal_stenosys"], "Did you mean spinal_stenosis"),
    (["network", "-o", "x.svg", "--sheet", "landscap"], "Did you mean landscape?"),
    (["causes", "-o", "x.svg", "--of", "spinal_stenosis"], "--of and --sheet go with network"),
    (["network", "-o", "x.svg", "--case", "wahl-2013"], "--case goes with a figure of one patient"),
    (["causes", "-o", "x.svg", "--case", "wahl-2013", "--cause", "fear"], "--cause goes with"),
    (["causes", "-o", "x.svg"], "name a patient file"),
    (["why", "-o", "x.svg", "--case", "wahl-2013", "--cause", "spinal_stenosys"],
     "Did you mean spinal_stenosis?"),
    (["calibration", "-o", "x.svg"], "predicted and outcome"),
    (["calibration", "nowhere.csv", "-o", "x.svg"], "cannot be read as a table"),
    (["interview", "-o", "x.svg"], "name a saved interview"),
])
def test_plot_says_what_is_wrong(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plot", *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ pictures as they were


def snapshot(**options):
    return pytest.mark.mpl_image_compare(
        tolerance=2, savefig_kwargs={"dpi": 45, "facecolor": "auto"}, style="default", **options)


def shapes(ax):
    """The figure without its letters, whose outlines differ between versions of FreeType."""
    figure = ax.get_figure(root=True)
    for text in figure.findobj(mpl.text.Text):
        text.set_visible(False)
    if ax.get_legend():
        ax.get_legend().remove()
    return figure


@snapshot()
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_a_network(small, theme):
    return shapes(small.plot(theme=theme))


@snapshot()
def test_picture_of_a_plain_network(one_engine):
    return shapes(bayesnet.read_network("tests/networks/asia.bif.gz").plot())


@snapshot()
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_a_patient(small, one_engine, theme):
    result = small.diagnose({"walk": "present", "sex": "male", "diary": "absent"})
    return shapes(result.plot_network(theme=theme))


@snapshot()
@pytest.mark.parametrize("kind", ["causes", "why", "attribution", "tornado", "next", "interview",
                                  "calibration", "cohort"])
def test_picture_of_a_chart(small, kind):
    result = small.diagnose({"walk": "present", "sex": "male"})
    talk = Interview(small, {"sex": "male"}).answer("walk", "present").answer("diary", "absent")
    rows = {"a": small.diagnose({}), "b": result, "c": small.diagnose(EVIDENCE)}
    frame = pd.DataFrame({i: {r.cause: r.posterior for r in d.results} for i, d in rows.items()}).T
    outcomes = [i % 7 in (0, 2) or i > 40 for i in range(60)]
    draw = {
        "causes": lambda ax: result.plot(ax=ax, intervals=result.intervals(200)),
        "why": lambda ax: result.why("narrow").plot(ax=ax, theme="dark"),
        "attribution": lambda ax: result.attribution.plot(ax=ax),
        "tornado": lambda ax: result.sensitivity("narrow").plot(ax=ax, top=5, theme="dark"),
        "next": lambda ax: result.plot_next(ax=ax),
        "interview": lambda ax: talk.plot(ax=ax),
        "calibration": lambda ax: plot_calibration(np.linspace(0, 1, 60), outcomes, ax=ax, bins=5),
        "cohort": lambda ax: plot_cohort(frame, ax=ax, model=small),
    }
    # Places that do not hang on the width of letters.
    return shapes(draw[kind](mpl.figure.Figure(figsize=(6, 4)).add_axes((0.1, 0.2, 0.8, 0.75))))


def test_titles_of_narrow_columns_keep_apart():
    from bayesnet.network import Network, Table, Variable
    from bayesnet.viz.page import TITLE, page_of, text_width

    yes = ("absent", "present")
    network = Network(
        [Variable("a", yes, role="context"), Variable("b", yes, role="cause"), Variable("c", yes, role="history")],
        {"a": Table((), np.array([0.5, 0.5])), "b": Table(("a",), np.full((2, 2), 0.5)),
         "c": Table(("b",), np.full((2, 2), 0.5))},
    )
    titles = page_of(network).titles
    assert [t for t, _, _ in titles] == ["Known before", "Causes", "Findings"]
    ill = network.of_role("cause")[0]
    outcome = Variable("still_ill", yes, role="outcome", label="Still ill")
    wide = Network(
        [*network.variables.values(), outcome],
        {**network.distributions, "still_ill": Table((ill,), np.full((2, 2), 0.5))},
    )
    page = page_of(wide)
    assert [t for t, _, _ in page.titles] == ["Known before", "Causes", "Outcome", "Findings"]
    assert "Outcome" not in [text for _, text, *_ in page.headings]
    for (text, x, _), (_, following, _) in itertools.pairwise(titles):
        assert x + text_width(text, TITLE, "bold") < following
