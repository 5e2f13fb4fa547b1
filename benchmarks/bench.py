"""Measure the engine beside its peers, in one run, and write the table into benchmarks/README.md.

    make bench                       everything (about ten minutes)
    python benchmarks/bench.py --quick

Patients have 25 findings observed (a fifth of the variables on small networks), drawn from the
network itself so that no evidence is impossible. Peers answer for a few patients one by
one, as they must; ours in one batch. Ratios are to the faster of pyAgrum's two engines.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

import bayesnet
from bayesnet.inference import Strata, compile_program, likelihoods_of, run, run_codes
from bayesnet.inference.conditioned import condition_and_eliminate
from bayesnet.inference.sampling import forward_samples
from bayesnet.inference.shortcuts import Shortcuts
from bayesnet.network import Network, NoisyMax, Table, Variable

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))
from oracle import to_pyagrum  # noqa: E402

#: Patients whose latency is measured one by one.
SINGLE = 40
STANDARD = ("hepar2", "alarm", "hailfinder", "win95pts")


def simulate(network: Network, n: int, rng: np.random.Generator) -> np.ndarray:
    """N complete patients as state codes, shape (n, variables)."""
    drawn = forward_samples(network, n, rng)
    return np.stack([drawn[v] for v in network.variables], axis=1).astype(np.int8)


def hide(codes: np.ndarray, candidates: np.ndarray, keep: int, rng: np.random.Generator,
         always: Iterable[int] = ()) -> np.ndarray:
    """Keep `keep` findings among `candidates`, `always` and random others; the rest is -1."""
    out = np.full_like(codes, -1)
    luck = rng.random((len(codes), len(candidates)))
    luck[:, np.isin(candidates, list(always))] = -1
    order = luck.argsort(axis=1)[:, :keep]
    chosen = candidates[order]
    np.put_along_axis(out, chosen, np.take_along_axis(codes, chosen, axis=1), axis=1)
    return out


def best_of(work: Callable[[], object], repeat: int = 3) -> float:
    """Seconds of the fastest of `repeat` runs."""
    times = []
    for _ in range(repeat):
        gc.collect()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def evidence_of(network: Network, row: np.ndarray) -> dict[str, str]:
    """A row of codes as variable -> state."""
    return {
        v: network[v].states[c] for v, c in zip(network.variables, row.tolist(), strict=True) if c >= 0
    }


def pyagrum_seconds(network: Network, codes: np.ndarray, targets: Iterable[str]) -> dict[str, float]:
    """Median seconds a patient, evidence changed in place, targets limited."""
    import pyagrum as gum

    peer_network = to_pyagrum(network)
    out = {}
    for name in ("LazyPropagation", "ShaferShenoyInference"):
        engine = getattr(gum, name)(peer_network)
        engine.setTargets(set(targets))
        times = []
        for row in codes:
            evidence = evidence_of(network, row)
            start = time.perf_counter()
            engine.setEvidence(evidence)
            engine.makeInference()
            for v in targets:
                engine.posterior(v)
            times.append(time.perf_counter() - start)
        out[name] = statistics.median(times[1:])
    return out


def pgmpy_seconds(network: Network, codes: np.ndarray, targets: Iterable[str]) -> float:
    """Median seconds a patient: one VariableElimination query for each target not observed."""
    from pgmpy.inference import VariableElimination

    engine = VariableElimination(network.to_pgmpy())
    times = []
    for row in codes:
        evidence = evidence_of(network, row)
        start = time.perf_counter()
        for v in targets:
            if v not in evidence:
                engine.query([v], evidence=evidence, show_progress=False)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def without(network: Network, variable: str) -> Network:
    """The network without one childless variable."""
    keep = [v for v in network.variables if v != variable]
    return Network([network[v] for v in keep], {v: network.distributions[v] for v in keep}, network.name)


def first_stratum(strata: Strata) -> tuple[int, ...]:
    """What the programs that answer hold, for the first of them."""
    return (0,) * (len(strata.by) + (strata.hub is not None))


def compare(name: str, network: Network, peers_get: Network, targets: list[str],
            candidates: list[str], keep: int, batch: int, peer_patients: int,
            strata: Strata | None = None, always: Iterable[str] = ()) -> dict:
    """Throughput and one-patient latency of ours and the peers on the same patients."""
    rng = np.random.default_rng(1)
    position = {v: i for i, v in enumerate(network.variables)}
    codes = hide(simulate(network, batch, rng), np.array([position[v] for v in candidates]), keep, rng,
                 [position[v] for v in always])
    ours = codes.copy()
    if "pt_failure" in position:
        ours[:, position["pt_failure"]] = 1
    start = time.perf_counter()
    if strata is None:
        strata = Strata(network)
    else:
        strata = Strata(network, strata.by, strata.order, shortcuts=strata.shortcuts)
    strata.program(first_stratum(strata))
    compiled = time.perf_counter() - start
    strata.run_codes(ours, targets)
    seconds = best_of(lambda: strata.run_codes(ours, targets))
    # Patients of whom no stratum is known, unless that is known of all.
    open_to = ours[:, [position[v] for v in strata.by]] < 0
    alike = open_to.all(axis=1) if strata.by and open_to.any() else np.ones(len(ours), bool)
    singles = [ours[[i]] for i in np.flatnonzero(alike)[:SINGLE].tolist()]
    for patient in singles:
        strata.run_codes(patient, targets)
    # Where they are not known, the programs of all strata answer; two each where a hub is left out.
    strata_each = np.where(open_to, network.sizes(strata.by), 1).prod(axis=1).mean()
    strata_each *= 1 if strata.hub is None else 2
    shortcuts = Shortcuts(network, strata.shortcuts)
    taken = shortcuts.fitting(shortcuts.counts_in_codes(ours), targets) if strata.shortcuts else np.array([-1])
    terms = [strata.program(first_stratum(strata), i).plan(targets).terms for i in taken.tolist()]
    multiplications = round(np.mean(terms) * strata_each)
    one = best_of(lambda: [strata.run_codes(x, targets) for _ in range(5) for x in singles])
    one /= 5 * len(singles)
    peer_codes = codes[:, [position[v] for v in peers_get.variables]]
    agrum = pyagrum_seconds(peers_get, peer_codes[: peer_patients + 1], targets)
    pgmpy = pgmpy_seconds(peers_get, peer_codes[: max(1, peer_patients // 20)], targets)
    best = min(agrum.values())
    return {
        "network": name, "variables": len(network), "targets": len(targets), "compile_s": compiled,
        "patients_per_second": batch / seconds, "one_patient_us": one * 1e6,
        "lazy_ms": agrum["LazyPropagation"] * 1e3, "shafer_ms": agrum["ShaferShenoyInference"] * 1e3,
        "pgmpy_ms": pgmpy * 1e3, "throughput_over_pyagrum": batch / seconds * best,
        "throughput_over_pgmpy": batch / seconds * pgmpy, "latency_over_pyagrum": best / one,
        "multiplications": multiplications,
        "by_shortcut": float((taken >= 0).mean()),
        "gigaflops": 2 * multiplications * batch / seconds / 1e9,
    }


def compare_wide(name: str, network: Network, patients: int) -> dict:
    """A network too wide to compile: one patient at a time, conditioned on its own evidence."""
    rng = np.random.default_rng(1)
    every = list(network.variables)
    codes = hide(simulate(network, patients + 1, rng), np.arange(len(every)), len(every) // 5, rng)
    times = []
    for row in codes:
        vectors = likelihoods_of(network, evidence_of(network, row))
        start = time.perf_counter()
        condition_and_eliminate(network, vectors, every)
        times.append(time.perf_counter() - start)
    ours = statistics.median(times[1:])
    agrum = pyagrum_seconds(network, codes, every)
    best = min(agrum.values())
    return {
        "network": name, "variables": len(network), "targets": len(every), "ours_ms": ours * 1e3,
        "lazy_ms": agrum["LazyPropagation"] * 1e3, "shafer_ms": agrum["ShaferShenoyInference"] * 1e3,
        "ratio": best / ours,
    }


def parameter_draws(model: bayesnet.DiagnosticModel, draws: int) -> float:
    """Seconds for one patient, age and sex known, under `draws` parameter sets: all numbers free."""
    network = model.network
    program = compile_program(network, free=list(network.variables), free_hubs=True, order=model.strata.order,
                              given={v: network[v].states[1] for v in model.strata.by})
    tables = {}
    for v in network.variables:
        parts = [f.values for f in network.factors_of(v)]
        tables[v] = [np.broadcast_to(p, (draws, *p.shape)) for p in parts]
    row = np.ones((draws, program.width))
    few = {v: [p[:8] for p in t] for v, t in tables.items()}
    run(program, row[:8], model.causes, few, backend="kernels")
    return best_of(lambda: run(program, row, model.causes, tables, backend="kernels"))


def answers(model: bayesnet.DiagnosticModel, always: Iterable[str], patients: int) -> list[dict]:
    """Seconds of every question about patients with 20 findings each, warm: median and slowest."""
    rng = np.random.default_rng(5)
    network = model.network
    position = {v: i for i, v in enumerate(network.variables)}
    seen = np.array([position[v] for v in network.variables
                     if network[v].role not in ("cause", "mechanism", "outcome")])
    known = [position[v] for v in always]
    taken: dict[str, list[float]] = {}
    for row in hide(simulate(network, patients, rng), seen, 20, rng, known):
        for name, ask in questions(model, evidence_of(network, row)).items():
            ask()
            taken.setdefault(name, []).append(best_of(ask, 2) * 1e3)
    return [{"question": q, "ms": statistics.median(t), "slowest_ms": max(t)} for q, t in taken.items()]


def questions(model: bayesnet.DiagnosticModel, findings: dict[str, str]) -> dict[str, Callable[[], object]]:
    """What can be asked of one patient."""
    from bayesnet.reports.patient import patient_html

    network = model.network
    result = model.diagnose(findings)
    leader, second = (r.cause for r in result.ranked("diagnoses")[:2])
    unasked = next(v for v in network.of_role("history") if v not in findings)
    return {
        "ranked causes (`diagnose`)": lambda: model.diagnose(findings),
        "why PT failed (`attribution`)": lambda: model.diagnose(findings).attribution,
        "without two causes (`success_without`)": lambda: result.success_without("hep_nonadherence", "kinesiophobia"),
        "why this cause (`why`)": lambda: result.why(leader),
        "why it rather than another": lambda: result.why(leader, second),
        "what next (`next`)": result.next,
        "credible intervals, 1,000 draws (`intervals`)": result.intervals,
        "sensitivity to every parameter (`sensitivity`)": result.sensitivity,
        "what to do (`actions`)": lambda: model.diagnose(findings).actions,
        "how soon (`triage`)": lambda: model.diagnose(findings).triage,
        "what if (`what_if`)": lambda: result.what_if(**{unasked: network[unasked].states[-1]}),
        "forced (`do`)": lambda: result.do(kinesiophobia="absent"),
        "the whole report (HTML)": lambda: patient_html(model.diagnose(findings)),
    }


def roofline() -> float:
    """Gigaflops of a plain multiply-add over tables that stay in the first-level cache, all cores."""
    from concurrent.futures import ThreadPoolExecutor

    from numba import njit

    @njit(nogil=True, fastmath={"contract", "nsz"})
    def fma(a, b, c, rounds):  # noqa: ANN001, ANN202
        for _ in range(rounds):
            for i in range(a.shape[0]):
                c[i] = a[i] * b[i] + c[i]

    n, rounds = 1024, 400_000
    arrays = [[np.random.default_rng(i).random(n) * 1e-9 for _ in range(3)] for i in range(os.cpu_count() or 1)]
    fma(*arrays[0], 10)
    start = time.perf_counter()
    with ThreadPoolExecutor(len(arrays)) as pool:
        list(pool.map(lambda x: fma(*x, rounds), arrays))
    return 2 * n * rounds * len(arrays) / (time.perf_counter() - start) / 1e9


def synthetic(causes: int, findings: int, parents: int, rng: np.random.Generator) -> Network:
    """Causes and noisy-OR findings, each of `parents` causes near one another, and one outcome."""
    variables = [Variable(f"c{i}") for i in range(causes)] + [Variable(f"f{i}") for i in range(findings)]
    d: dict = {f"c{i}": Table((), [0.95, 0.05]) for i in range(causes)}

    def noisy(chosen: Iterable[int]) -> NoisyMax:
        names = tuple(f"c{i}" for i in chosen)
        return NoisyMax(names, tuple(np.array([[1, 0], [1 - p, p]]) for p in rng.uniform(0.2, 0.9, len(names))), [0.95, 0.05])

    for i in range(findings):
        start = int(i * causes / findings)
        near = (start + rng.choice(min(causes, 2 * parents), size=min(parents, causes), replace=False)) % causes
        d[f"f{i}"] = noisy(sorted(set(near.tolist())))
    variables.append(Variable("outcome"))
    d["outcome"] = noisy(range(causes))
    return Network(variables, d, f"{causes} causes")


def growth(quick: bool) -> list[dict]:
    """Patients per second as causes, findings and findings per cause grow."""
    rows = []
    settings = [(10, 50, 3), (30, 130, 3), (50, 200, 3), (100, 400, 3), (200, 800, 3),
                (30, 30, 3), (30, 300, 3), (30, 130, 2), (30, 130, 4), (30, 130, 5)]
    for causes, findings, parents in settings[: 4 if quick else None]:
        rng = np.random.default_rng(2)
        network = synthetic(causes, findings, parents, rng)
        program = compile_program(network, tries=4)
        targets = [f"c{i}" for i in range(causes)]
        codes = hide(simulate(network, 4096, rng), np.arange(causes, causes + findings), 25, rng)
        codes[:, -1] = 1
        run_codes(program, codes[:64], targets)
        seconds = best_of(lambda p=program, c=codes, t=targets: run_codes(p, c, t))
        rows.append({"causes": causes, "findings": findings, "parents": parents,
                     "treewidth": program.elimination.width,
                     "multiplications": program.plan(targets).terms,
                     "patients_per_second": len(codes) / seconds})
    return rows


def memory_child(patients: int) -> None:
    """In a process of its own: score `patients`, print seconds and peak memory."""
    model = bayesnet.load("pt_failure")
    rng = np.random.default_rng(3)
    network = model.network
    position = {v: i for i, v in enumerate(network.variables)}
    seen = np.array([position[v] for v in network.variables
                     if network[v].role not in ("cause", "mechanism", "outcome")])
    small = hide(simulate(network, min(patients, 20_000), rng), seen, 25, rng,
                 [position[v] for v in model.strata.by])
    codes = np.ascontiguousarray(np.resize(small, (patients, small.shape[1])))
    codes[:, position["pt_failure"]] = 1
    model.strata.run_codes(codes[:20_000], model.causes)
    start = time.perf_counter()
    block = 50_000
    total = 0.0
    for first in range(0, patients, block):
        got = model.strata.run_codes(codes[first : first + block], model.causes)
        total += float(got.posteriors["disc_herniation"][:, 1].sum())
    seconds = time.perf_counter() - start
    # Not ru_maxrss, which a child process inherits from its parent.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"patients": patients, "seconds": seconds, "peak_mib": peak, "check": total}))


def by_patients(quick: bool) -> list[dict]:
    """Seconds and peak memory against the number of patients, each in a fresh process."""
    rows = []
    for n in (1, 100, 10_000, 100_000) if quick else (1, 100, 10_000, 100_000, 1_000_000):
        done = subprocess.run([sys.executable, __file__, "--memory-child", str(n)],
                              capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
    return rows


def cold_start() -> dict[str, float]:
    """Seconds of a fresh process: pgmpy's import, and ours from nothing to the first answer."""
    first = "import bayesnet; bayesnet.load('pt_failure').diagnose({'age': 34, 'fever': True})"
    out = {}
    for name, code in (("import pgmpy.inference", "import pgmpy.inference"), ("first answer", first)):
        out[name] = statistics.median(
            best_of(lambda c=code: subprocess.run([sys.executable, "-c", c], check=True,
                                                  capture_output=True), 1) for _ in range(5)
        )
    return out


def table(rows: list[dict], columns: dict[str, tuple[str, str]]) -> str:
    """A Markdown table; `columns` maps a key to its heading and format."""
    head = "| " + " | ".join(h for h, _ in columns.values()) + " |\n|" + "---|" * len(columns)
    lines = ["| " + " | ".join(format(r[k], f) for k, (_, f) in columns.items()) + " |" for r in rows]
    return "\n".join([head, *lines])


def main() -> None:
    """Run all and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer patients and sizes")
    parser.add_argument("--memory-child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_child:
        memory_child(options.memory_child)
        return
    quick = options.quick
    model = bayesnet.load("pt_failure")
    network = model.network
    seen = [v.id for v in network.variables.values() if v.role not in ("cause", "mechanism", "outcome")]
    rows = []
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    say("pt_failure")
    for name, always in (("pt_failure, age and sex known", model.strata.by), ("pt_failure, any findings", ())):
        rows.append(compare(name, network, without(network, "pt_failure"), list(model.causes), seen,
                            25, 10_000 if quick else 50_000, 20 if quick else 60, model.strata, always))
    for name in STANDARD:
        say(name)
        standard = bayesnet.read_network(ROOT / "tests" / "networks" / f"{name}.bif.gz").network
        exact = standard.replace({v: Table(d.parents, d.probabilities / d.probabilities.sum(-1, keepdims=True))
                                  for v, d in standard.distributions.items()})
        every = list(exact.variables)
        rows.append(compare(name, exact, exact, every, every, len(every) // 5,
                            10_000 if quick else 100_000, 20 if quick else 60))
    say("munin1")
    munin = bayesnet.read_network(ROOT / "tests" / "networks" / "munin1.bif.gz").network
    munin = munin.replace({v: Table(d.parents, d.probabilities / d.probabilities.sum(-1, keepdims=True))
                           for v, d in munin.distributions.items()})
    wide = [compare_wide("munin1", munin, 10 if quick else 60)]
    say("parameter draws")
    draws = parameter_draws(model, 1000)
    say("answers")
    answered = [
        {**known, "open_ms": left_open["ms"], "slowest_open_ms": left_open["slowest_ms"]}
        for known, left_open in zip(
            answers(model, model.strata.by, 3 if quick else 8), answers(model, (), 3 if quick else 8), strict=True
        )
    ]
    say("growth")
    grown = growth(quick)
    say("patients")
    patients = by_patients(quick)
    say("cold start")
    cold = cold_start()
    peak = roofline()
    strata = model.strata
    held = strata.program(first_stratum(strata)).summary()
    program = strata.program((-1,) * len(strata.by) + (0,) * (strata.hub is not None)).summary()
    text = "\n\n".join([
        "## Measured",
        f"By `make bench` on {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()}). "
        "Posteriors of all causes (pt_failure, 25 findings a patient: age, sex and 23 others at random, as any record "
        "has them, or 25 at random) or of all variables (a fifth observed). On pt_failure pyAgrum and pgmpy are given the network without its 34-parent outcome, which they "
        "cannot take as it is; ours has it, observed.",
        table(rows, {
            "network": ("network", ""), "variables": ("variables", "d"), "targets": ("targets", "d"),
            "patients_per_second": ("ours, patients/s", ",.0f"), "one_patient_us": ("ours, one patient, µs", ",.0f"),
            "lazy_ms": ("pyAgrum Lazy, ms", ".2f"), "shafer_ms": ("pyAgrum Shafer-Shenoy, ms", ".2f"),
            "pgmpy_ms": ("pgmpy, ms", ",.0f"), "throughput_over_pyagrum": ("throughput / pyAgrum", ",.0f"),
            "throughput_over_pgmpy": ("throughput / pgmpy", ",.0f"), "latency_over_pyagrum": ("one patient / pyAgrum", ",.1f"),
            "compile_s": ("compile, s", ".2f"), "multiplications": ("multiplications a patient", ",d"), "by_shortcut": ("by a shortcut", ".0%"),
            "gigaflops": ("Gflop/s", ".1f"),
        }),
        f"Roofline: a plain multiply-add over tables in the first-level cache reaches {peak:.1f} Gflop/s here (all cores).",
        f"Program of pt_failure where age and sex are known: treewidth {held['treewidth']:.0f}, "
        f"{held['clique_entries']:,.0f} clique entries, {held['steps']:.0f} steps, run for everything and for success; "
        f"where they are not known, those of all ten strata answer (with both left open: treewidth {program['treewidth']:.0f}, "
        f"{program['clique_entries']:,.0f} clique entries). Its {len(strata.shortcuts)} shortcuts answer where costly "
        "findings are absent or unknown; they were searched on other simulated patients, with 15 to 60 findings.",
        "Too wide to compile for every pattern of evidence (one patient at a time, one core, all posteriors):",
        table(wide, {"network": ("network", ""), "variables": ("variables", "d"), "ours_ms": ("ours, ms", ".1f"),
                     "lazy_ms": ("pyAgrum Lazy, ms", ".1f"), "shafer_ms": ("pyAgrum Shafer-Shenoy, ms", ".1f"),
                     "ratio": ("pyAgrum's best / ours", ".1f")}),
        f"One patient, age and sex known, under 1,000 parameter sets at once (pt_failure, every number free): {draws:.2f} s.",
        "Every question about one patient with 20 findings (pt_failure, warm), milliseconds, of 8 patients:",
        table(answered, {"question": ("question", ""), "ms": ("age and sex known, median", ",.1f"),
                         "slowest_ms": ("slowest", ",.1f"), "open_ms": ("not known, median", ",.1f"),
                         "slowest_open_ms": ("slowest", ",.1f")}),
        "Patients (pt_failure, age and sex known, blocks of 50,000, a fresh process each; memory includes the input, one byte a variable):",
        table(patients, {"patients": ("patients", ",d"), "seconds": ("seconds", ".2f"), "peak_mib": ("peak MiB", ",.0f")}),
        "Growth (synthetic two-level networks, one outcome over all causes, 25 findings a patient):",
        table(grown, {"causes": ("causes", "d"), "findings": ("findings", "d"), "parents": ("causes a finding", "d"),
                      "treewidth": ("treewidth", "d"), "multiplications": ("multiplications a patient", ",d"),
                      "patients_per_second": ("patients/s", ",.0f")}),
        f"Cold process to first answer (import, load, compile, diagnose): {cold['first answer']:.2f} s; "
        f"`import pgmpy.inference` alone: {cold['import pgmpy.inference']:.2f} s.",
    ])
    print(text)
    report = HERE / "README.md"
    before = report.read_text(encoding="utf-8") if report.exists() else "# Benchmarks\n\n"
    intro, _, rest = before.partition("## Measured")
    _, mark, tried = rest.partition("## Tried")
    report.write_text(intro + text + "\n" + ("\n" + mark + tried if mark else ""), encoding="utf-8")


if __name__ == "__main__":
    main()
