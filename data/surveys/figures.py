"""Compute the rows of data/evidence.csv that come from data shipped here.

python data/surveys/figures.py           print them
python data/surveys/figures.py --write   put them into data/evidence.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bayesnet.validation.intervals import wilson_interval
from bayesnet.validation.survey import survey_odds_ratio, survey_share

HERE = Path(__file__).parent
TABLE = HERE.parent / "evidence.csv"
NHANES = dict(
    study="NCHS, NHANES 2009-2010",
    title="National Health and Nutrition Examination Survey 2009-2010, public data files",
    journal="National Center for Health Statistics", design="cross_sectional", read_in="data",
    url="https://wwwn.cdc.gov/nchs/nhanes/continuousnhanes/default.aspx?BeginYear=2009",
    reference_standard="self-report unless stated",
)
SMART = dict(
    study="Smart KM et al. 2011",
    title="The discriminative validity of nociceptive, peripheral neuropathic, and central "
    "sensitization as mechanisms-based classifications of musculoskeletal pain",
    journal="Clinical Journal of Pain", doi="10.1097/AJP.0b013e318215f16a",
    url="https://doi.org/10.1097/AJP.0b013e318215f16a",
    design="cross_sectional", read_in="data",
    population="232 of 464 people with low back pain in 17 clinics, random half",
    reference_standard="mechanism as classed by a physiotherapist (the criteria helped to class)",
)
ASHAR = dict(
    study="Ashar YK et al. 2022",
    title="Effect of pain reprocessing therapy vs placebo and usual care for patients with chronic "
    "back pain", journal="JAMA Psychiatry", doi="10.1001/jamapsychiatry.2021.2669",
    url="https://doi.org/10.1001/jamapsychiatry.2021.2669",
    design="rct", read_in="data", population="152 adults with chronic back pain, trial baseline",
)


def nhanes() -> pd.DataFrame:
    """Everyone interviewed, one row a person, the NCHS files side by side."""
    folder = HERE / "nhanes_2009_2010"
    whole = pd.read_csv(folder / "DEMO_F.csv.xz")
    for name in ("ARQ", "MCQ", "DIQ", "SMQ", "DPQ", "SLQ", "BMX", "CRP", "ARX"):
        whole = whole.merge(pd.read_csv(folder / f"{name}_F.csv.xz"), on="SEQN", how="left")
    return whole


def yes(column: pd.Series, codes: tuple[int, ...] = (1,), no: tuple[int, ...] = (2,)) -> pd.Series:
    """1 for the codes that mean yes, 0 for those that mean no, NaN for the rest."""
    return pd.Series(
        np.select([column.isin(codes), column.isin(no)], [1.0, 0.0], np.nan), column.index
    )


def known(condition: pd.Series, column: pd.Series) -> pd.Series:
    """The condition as 1 or 0 where the column was answered."""
    return condition.astype(float).where(column.notna())


def derivation_half(people: int) -> np.ndarray:
    """Whom of the adults with chronic low back pain, in the order of the file, the model may learn from."""
    return np.random.default_rng(2026).random(people) < 0.5


def nhanes_rows() -> list[dict[str, object]]:
    """Shares among adults of 20-69 with chronic low back pain, or among all of an age."""
    d = nhanes()
    back = (d.ARQ024D == 1) & (d.RIDAGEYR >= 20)
    age = d.RIDAGEYR
    bands = {"18-34": (18, 35), "35-49": (35, 50), "50-64": (50, 65), "65-74": (65, 75), "75+": (75, 120)}
    phq = d[[f"DPQ0{i}0" for i in range(1, 10)]]
    phq = phq.where(phq <= 3)
    phq_known = phq.notna().all(axis=1)
    phq_rest = phq.drop(columns="DPQ040").sum(axis=1)
    tired = known(phq.DPQ040 >= 2, phq.DPQ040)
    trouble = yes(d.SLQ050)
    sleepless = known(phq.DPQ030 >= 2, phq.DPQ030)
    other_items = phq.drop(columns=["DPQ030", "DPQ040"]).sum(axis=1).where(phq_known)
    heart = d[["MCQ160C", "MCQ160D", "MCQ160E", "MCQ160F"]]
    vascular = known((heart == 1).any(axis=1), heart.MCQ160C)
    cancer = yes(d.MCQ220)
    skin_only = d[["MCQ230A", "MCQ230B", "MCQ230C", "MCQ230D"]].isin([32, 33, 24]).any(axis=1) & ~(
        d[["MCQ230A", "MCQ230B", "MCQ230C", "MCQ230D"]].notna()
        & ~d[["MCQ230A", "MCQ230B", "MCQ230C", "MCQ230D"]].isin([32, 33, 24])
    ).any(axis=1)
    cancer = cancer.where(~skin_only, 0.0)
    smoke = pd.Series(np.select(
        [d.SMQ020 == 2, (d.SMQ020 == 1) & (d.SMQ040 == 3), (d.SMQ020 == 1) & d.SMQ040.isin([1, 2])],
        [0, 1, 2], np.nan), d.index)
    stiff = d.ARQ040.where(d.ARQ040 <= 6)
    rest = d.ARQ060.where(d.ARQ060 <= 5)
    takers = d[[f"ARQ030{x}" for x in "ABCDE"]].isin([1]).any(axis=1)
    relief = d[[f"ARQ034{x}" for x in "ABCDE"]]
    best = relief.where(relief <= 3).max(axis=1).where(takers)
    late = pd.Series(np.select([d.ARQ070 == 2, d.ARQ073 == 1, d.ARQ073 == 2, d.ARQ077 == 1, d.ARQ077 == 2],
        [0.0, 1.0, 0.0, 1.0, 0.0], np.nan), d.index)
    onset45 = known(d.ARQ022D < 45, d.ARQ022D.where(d.ARQ022D < 200))
    chronic = "adults 20-69 with chronic low back pain, weighted"
    everyone = "all adults of that age, weighted"
    listed: list[tuple[str, str, pd.Series, pd.Series, str, str, str]] = []

    def share(item: str, state: str, answer: pd.Series, among: pd.Series, population: str, weight: str,
              note: str) -> dict[str, object]:
        s = survey_share(answer, d[weight], d.SDMVSTRA, d.SDMVPSU, among & (d[weight] > 0))
        return NHANES | dict(
            cause="none", item=item, item_state=state, measure="proportion", value=s.value,
            ci_low=s.low, ci_high=s.high, n=s.n, population=population, note=note)

    def add(item: str, state: str, answer: pd.Series, among: pd.Series = back,
            population: str = chronic, weight: str = "WTINT2YR", note: str = "") -> None:
        listed.append((item, state, answer, among, population, weight, note))

    for name, (low, high) in list(bands.items())[:4]:
        add("age", name, ((age >= low) & (age < high)).astype(float),
            note="asked from 20 to 69" if name in ("18-34", "65-74") else "")
    add("sex", "female", yes(d.RIAGENDR, (2,), (1,)))
    for i, name in enumerate(("never", "former", "current")):
        add("smoking", name, known(smoke == i, smoke))
    add("onset", "sudden", known(d.ARQ025D <= 2, d.ARQ025D.where(d.ARQ025D <= 5)),
        note="within a day")
    for name in ("35-49", "50-64", "65-74"):
        low, high = bands[name]
        add("age_at_onset", "under_45", onset45, back & (age >= low) & (age < high),
            f"{chronic}, aged {low}-{min(high - 1, 69)}")
    add("obesity", "present", known(d.BMXBMI >= 30, d.BMXBMI), weight="WTMEC2YR", note="measured")
    for item, answer in (("diabetes", yes(d.DIQ010, (1,), (2, 3))), ("vascular_disease", vascular),
                         ("cancer_history", cancer)):
        for name in ("18-34", "35-49", "50-64"):
            low, high = bands[name]
            add(item, "present", answer, back & (age >= low) & (age < high),
                f"{chronic}, aged {max(low, 20)}-{high - 1}")
        for name in ("65-74", "75+"):
            low, high = bands[name]
            add(item, "present", answer, (age >= low) & (age < high),
                f"{everyone}, {low} and over" if high > 100 else f"{everyone}, {low}-{high - 1}")
    add("psoriasis", "present", yes(d.MCQ070))
    add("inflammatory_bowel_disease", "present",
        known((d.ARQ125C == 1) | (d.ARQ125D == 1), d.ARQ125C))
    add("uveitis_history", "present", yes(d.ARD125A))
    women = (d.RIAGENDR == 2) & d.RIDEXPRG.isin([1, 2])
    for low, high in ((20, 35), (35, 45)):
        add("recent_pregnancy", "present", yes(d.RIDEXPRG), women & (age >= low) & (age < high),
            f"women {low}-{high - 1} examined, weighted", "WTMEC2YR",
            "pregnant at examination; a birth within the year is not counted")
    add("morning_stiffness", "over_30_min", known(stiff.isin([3, 4, 5]), stiff))
    add("morning_stiffness", "none", known(stiff == 6, stiff))
    add("rest_response", "worse", known(rest == 1, rest))
    add("rest_response", "better", known(rest == 2, rest))
    add("exercise_response", "better", yes(d.ARQ080, (1,), (2, 3)))
    add("night_pain", "present", yes(d.ARQ070), note="woken by pain")
    add("second_half_night_waking", "present", late)
    add("alternating_buttock_pain", "present", 
        known((d.ARQ020E == 5) & (d.ARQ100 == 1), d.ARQ010),
        note="only people with buttock pain were asked; the others count as no")
    add("nsaid_response", "good", known(best >= 2, best), note="most or all of the pain, of those who took one")
    add("nsaid_response", "none", known(best == 0, best), note="of those who took one")
    add("buttock_pain", "present", known(d.ARQ020E == 5, d.ARQ010), note="for six weeks or more")
    add("groin_pain", "present", known(d.ARQ020F == 6, d.ARQ010), note="front of the hip on the pain diagram, six weeks or more")
    add("thoracic_pain", "present", known((d.ARQ020B == 2) | (d.ARQ020C == 3), d.ARQ010),
        note="upper or mid back pain at some time too, not the main site")
    add("phq", "high", known(phq.sum(axis=1) >= 10, phq_known.where(phq_known)), weight="WTMEC2YR")
    add("crp_or_esr", "raised", known(d.LBXCRP >= 1.0, d.LBXCRP), weight="WTMEC2YR",
        note="C-reactive protein of 10 mg/L or more")
    add("poor_sleep", "present", trouble, note="ever told a doctor of trouble sleeping")
    add("fatigue", "present", tired, weight="WTMEC2YR", note="more than half the days")
    low_mood = phq_rest.where(phq_known)
    add("fatigue", "present", tired, back & (low_mood >= 8), f"{chronic}, other depression items 8 or more", "WTMEC2YR")
    add("fatigue", "present", tired, back & (low_mood < 8), f"{chronic}, other depression items below 8", "WTMEC2YR")
    for sleeps_badly in (1, 0):
        add("fatigue", "present", tired, back & (other_items < 5) & (sleepless == sleeps_badly),
            f"{chronic}, not depressed, sleep trouble on "
            f"{'more' if sleeps_badly else 'fewer'} than half the days", "WTMEC2YR")
    # Joint answers of everyone. The model is compared with those of the half it did not learn from, below.
    stiff30 = known(stiff.isin([3, 4, 5]), stiff)
    better_moving = yes(d.ARQ080, (1,), (2, 3))
    not_rest = known(rest.isin([1, 3]), rest)
    eased = (better_moving * not_rest).where(better_moving.notna() & not_rest.notna())
    switching = known((d.ARQ020E == 5) & (d.ARQ100 == 1), d.ARQ010)
    woken = yes(d.ARQ070)
    early = onset45
    slow = known(d.ARQ025D >= 3, d.ARQ025D.where(d.ARQ025D <= 5))
    berlin = stiff30 + eased + late + switching
    asas = early + slow + better_moving + not_rest + woken
    joint = [
        ("berlin_2_of_4", known(berlin >= 2, berlin)), ("berlin_3_of_4", known(berlin >= 3, berlin)),
        ("berlin_0_of_4", known(berlin == 0, berlin)),
        ("asas_4_of_5_onset_under_45_not_sudden", known(asas >= 4, asas)),
        ("better_moving_and_not_at_rest", eased),
        ("stiff_30_min_and_woken", stiff30 * woken),
        ("stiff_30_min_and_woken_late_and_switching", stiff30 * late * switching),
        ("sudden_and_onset_under_45", (1 - slow) * early),
    ]
    for name, answer in joint:
        add(name, "joint", answer)
    answered = (phq.sum(axis=1) >= 10).astype(float).where(phq_known)
    mood = [
        ("phq_high_and_tired", answered * tired), ("phq_high_and_trouble_sleeping", answered * trouble),
        ("phq_high_and_woken", answered * woken),
    ]
    for name, answer in mood:
        add(name, "joint", answer, weight="WTMEC2YR")
    # How answers go together in one half; the other half is kept to test the model.
    half = pd.Series(False, d.index)
    counted = back & (d.WTINT2YR > 0)
    half[counted] = derivation_half(int(counted.sum()))
    add("second_half_night_waking", "present", late, half & (woken == 1), f"{chronic}, woken by pain; a random half")
    rows = [share(*entry) for entry in listed]
    worse_resting = known(rest == 1, rest)
    for item, a, b in (
        ("rest_worse_and_woken", worse_resting, woken),
        ("rest_worse_and_woken_late", worse_resting, late),
        ("trouble_sleeping_and_woken", trouble, woken),
        ("stiff_30_min_and_trouble_sleeping", stiff30, trouble),
        ("phq_high_and_woken_late", answered, late),
        ("switching_and_phq_high", switching, answered),
        ("sudden_and_woken", 1 - slow, woken),
        ("better_moving_and_trouble_sleeping", better_moving, trouble),
    ):
        ratio, low, high, n = survey_odds_ratio(a, b, d.WTINT2YR, d.SDMVSTRA, d.SDMVPSU, half)
        rows.append(NHANES | dict(
            cause="none", item=item, item_state="joint", measure="odds_ratio", value=ratio, ci_low=low,
            ci_high=high, n=n, population=f"{chronic}; a random half", note="of one answer with the other"))
    kept = counted & ~half
    for weight, answers in (("WTINT2YR", joint), ("WTMEC2YR", mood)):
        for name, answer in answers:
            rows.append(share(name, "joint", answer, kept, f"{chronic}; the half kept back", weight,
                              "sets no parameter; these people set no dependence of the model"))
    for low, high in bands.values():
        aged = (age >= low) & (age < high)
        for i, state in ((1, "former"), (2, "current")):
            if low < 70:
                rows.append(share("smoking", state, known(smoke == i, smoke), back & aged,
                                  f"{chronic}, aged {max(low, 20)}-{min(high - 1, 69)}", "WTINT2YR", ""))
            if low >= 65:
                rows.append(share("smoking", state, known(smoke == i, smoke), aged,
                                  f"{everyone}, {low} and over" if high > 100 else f"{everyone}, {low}-{high - 1}",
                                  "WTINT2YR", ""))
    return rows


def smart_rows() -> list[dict[str, object]]:
    """How often each criterion is met in each class of mechanism."""
    d = pd.read_csv(HERE / "smart2011_patterns.csv")
    criteria = {
        "constant_unremitting": "unrelenting_pain", "dermatomal": "leg_pain",
        "dysaesthesias": "leg_numbness", "night_pain_or_disturbed_sleep": "night_pain",
        "diffuse_tenderness": "widespread_pain", "neural_tissue_tender": "straight_leg_raise",
        "consistent_mechanical_reproduction": "mechanical_reproduction",
        "non_mechanical_pattern": "non_mechanical_pattern",
        "proportionate_to_movement_or_trauma": "proportionate_pain",
    }
    rows = []
    for mechanism, part in d.groupby("mechanism", sort=True):
        for column, item in criteria.items():
            seen = part[part[column].isin([0, 1])]
            n, k = int(seen.n.sum()), int((seen[column] * seen.n).sum())
            low, high = wilson_interval(k, n)
            rows.append(SMART | dict(
                cause=f"mechanism_{mechanism}", item=item, item_state="present", measure="proportion",
                value=k / n, ci_low=low, ci_high=high, n=n, note=f"criterion {column}"))
    for mechanism, part in d.groupby("mechanism", sort=True):
        n, k = int(d.n.sum()), int(part.n.sum())
        low, high = wilson_interval(k, n)
        rows.append(SMART | dict(
            cause=f"mechanism_{mechanism}", item="mechanism", item_state="present",
            measure="prevalence", value=k / n, ci_low=low, ci_high=high, n=n, note="share of the class"))
    return rows


def trial_rows() -> list[dict[str, object]]:
    """Correlation of the scales, and odds ratios between their high groups."""
    r = pd.read_csv(HERE / "chronic_back_pain_trial_correlations.csv", index_col=0)
    names = {"tsk11": "kinesiophobia", "pcs": "pain_catastrophizing", "promis_dep": "depression",
             "promis_sleep": "poor_sleep", "promis_anxiety": "anxiety_or_ptsd"}
    rows = []
    ids = list(names)
    for i, a in enumerate(ids):
        for b in ids[i + 1:]:
            value = float(r.loc[a, b])
            half = 1.959964 * 1.03 / np.sqrt(152 - 3)
            low, high = np.tanh(np.arctanh(value) + np.array([-half, half]))
            rows.append(ASHAR | dict(
                cause=names[a], item=names[b], item_state="score", measure="correlation",
                value=value, ci_low=low, ci_high=high, n=152, note=f"Spearman, {a} with {b}"))
    d = pd.read_csv(HERE / "chronic_back_pain_trial_distress_pattern.csv")
    flags = {"tsk_high": "kinesiophobia", "pcs_high": "pain_catastrophizing",
             "dep_high": "depression", "sleep_poor": "poor_sleep"}
    ids = list(flags)
    for i, a in enumerate(ids):
        for b in ids[i + 1:]:
            n = [[float(d.loc[(d[a] == x) & (d[b] == y), "n"].sum()) + 0.5 for y in (0, 1)] for x in (0, 1)]
            ratio = n[1][1] * n[0][0] / (n[1][0] * n[0][1])
            half = 1.959964 * np.sqrt(sum(1 / x for row in n for x in row))
            rows.append(ASHAR | dict(
                cause=flags[a], item=flags[b], item_state="present", measure="odds_ratio",
                value=ratio, ci_low=ratio * np.exp(-half), ci_high=ratio * np.exp(half), n=152,
                note="high groups: fear top 40 %, catastrophizing and depression top 25 %, sleep worse half"))
    return rows


def all_rows() -> list[dict[str, str]]:
    """Rows in the columns of the evidence table, numbered."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    rows = []
    for prefix, part in (("NHA", nhanes_rows()), ("SMA", smart_rows()), ("ASH", trial_rows())):
        for i, row in enumerate(part, start=1):
            made = dict.fromkeys(columns, "") | {"id": f"{prefix}{i:04d}"}
            for key, value in row.items():
                made[key] = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append(made)
    return rows


def main() -> None:
    """Print the rows, or write them into the table."""
    rows = all_rows()
    if "--write" not in sys.argv:
        for r in rows:
            print(r["id"], r["cause"], r["item"], r["item_state"], r["measure"], r["value"],
                  f"({r['ci_low']}-{r['ci_high']}) n={r['n']}", r["population"][:60], r["note"], sep=" | ")
        return
    with TABLE.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    mine = {"NHA", "SMA", "ASH"}
    kept = [r for r in table if r["id"][:3] not in mine]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])


if __name__ == "__main__":
    main()
