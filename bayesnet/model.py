"""A network ready to be asked: plain queries on any network, diagnosis on a clinical model."""

from __future__ import annotations

import html
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayesnet.errors import (
    EvidenceError,
    ImpossibleEvidenceError,
    ModelFileError,
    NetworkFileError,
    Problem,
    did_you_mean,
)
from bayesnet.inference import (
    Findings,
    Marginals,
    Program,
    Shortcut,
    Strata,
    compile_program,
    likelihoods_of,
    run,
    stack_rows,
)
from bayesnet.inference.conditioned import condition_and_eliminate
from bayesnet.inference.joint_states import most_probable_states
from bayesnet.inference.orders import estimated_entries
from bayesnet.inference.weighting import weighted_samples
from bayesnet.network import Network, NoisyMax, OddsRatio, Table
from bayesnet.network.factor import FloatArray
from bayesnet.shipped import model_folder, shipped_models

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bayesnet.cohort import ColumnMapping
    from bayesnet.diagnosis.counterfactual import TwinNetwork
    from bayesnet.diagnosis.information import NextFinding
    from bayesnet.diagnosis.pathways import Pathways
    from bayesnet.diagnosis.result import Diagnosis
    from bayesnet.diagnosis.sensitivity import ParameterRange
    from bayesnet.diagnosis.tables import NamedTable
    from bayesnet.diagnosis.uncertainty import Draws
    from bayesnet.inference.counts import StratifiedCounts
    from bayesnet.learning import Learning
    from bayesnet.modelfile import ModelDocument

__all__ = ["DiagnosticModel", "Model", "Posterior", "from_pgmpy", "load", "read_network"]

#: Clique-table entries times questions up to which rounded tables are pruned question by question.
LARGEST_PRUNED_BATCH = 2e8
#: Clique-table entries above which a patient's own evidence is used to cut the network first.
LARGEST_EAGER_PROGRAM = 2e7
#: Sets of forced causes, and of columns, whose programs are kept.
MOST_CUTS = 4


@dataclass(frozen=True, eq=False)
class Posterior(Mapping[str, Mapping[str, float]]):
    """Exact posterior distributions of some variables.

    Behaves as a mapping: `posterior["disc_herniation"]["present"]`.

    Attributes
    ----------
    distributions : dict id -> dict state -> probability
    log_evidence : float
        Natural log of the probability of the evidence.
    """

    distributions: Mapping[str, Mapping[str, float]]
    log_evidence: float

    def __getitem__(self, variable: str) -> Mapping[str, float]:
        if variable not in self.distributions:
            raise KeyError(
                f"{variable!r} was not asked for.{did_you_mean(variable, self.distributions)}"
            )
        return self.distributions[variable]

    def __iter__(self) -> Iterator[str]:
        return iter(self.distributions)

    def __len__(self) -> int:
        return len(self.distributions)

    def to_frame(self) -> pd.DataFrame:
        """Tidy: one row a variable and state, columns variable, state, probability."""
        import pandas as pd

        return pd.DataFrame(
            [(v, s, p) for v, states in self.distributions.items() for s, p in states.items()],
            columns=["variable", "state", "probability"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "log_evidence": self.log_evidence,
            "posteriors": {v: dict(d) for v, d in self.distributions.items()},
        }

    def __repr__(self) -> str:
        lines = []
        for v, states in self.distributions.items():
            lines.append(f"{v}: " + ", ".join(f"{s} {p:.4g}" for s, p in states.items()))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(v)}</th><td style='text-align:left'>"
            + ", ".join(f"{html.escape(s)} <b>{p:.3g}</b>" for s, p in states.items())
            + "</td></tr>"
            for v, states in self.distributions.items()
        )
        return f"<table>{rows}</table>"


class Model:
    """Any Bayesian network, compiled on first use.

    Parameters
    ----------
    network : Network
    learning : Learning, optional
        Where the numbers come from, if they were learned (`fit`).
    """

    def __init__(self, network: Network, learning: Learning | None = None) -> None:
        self.network = network
        self.learning = learning

    @property
    def name(self) -> str:
        """The network's name."""
        return self.network.name

    @cached_property
    def strata(self) -> Strata:
        """The network compiled for each group of patients that needs a program of its own."""
        return Strata(self.network)

    @property
    def program(self) -> Program:
        """The compiled network, for patients of whom anything may be known."""
        return self.strata.program()

    @cached_property
    def variables(self) -> pd.DataFrame:
        """One row a variable: label, role, group, states, parents, kind of distribution, question."""
        import pandas as pd

        network = self.network
        return pd.DataFrame(
            [
                (v.id, v.name, v.role, v.group, list(v.states), list(network.parents(v.id)),
                 network.kind(v.id), v.ask)
                for v in network.variables.values()
            ],
            columns=["id", "label", "role", "group", "states", "parents", "kind", "ask"],
        ).set_index("id")

    def posterior(
        self, variables: str | Iterable[str] | None = None, evidence: Findings | None = None
    ) -> Posterior:
        """Exact posteriors, given only `evidence`.

        Parameters
        ----------
        variables : id or iterable of ids, optional
            All variables by default.
        evidence : mapping, optional
            Variable to state, list of possible states, `{state: likelihood}` (virtual evidence),
            true/false, a number where the variable has bins, or None for not known.

        Raises
        ------
        EvidenceError
            Listing everything in `evidence` or `variables` that is not understood.
        ImpossibleEvidenceError
            When the evidence has probability zero; it names the findings that clash.
        """
        asked = self._asked(variables)
        vectors = likelihoods_of(self.network, evidence or {})
        if self._is_wide:
            marginals = condition_and_eliminate(self.network, vectors, asked)
        elif self._rounded:
            marginals = self._run_pruned(vectors, asked)
        else:
            marginals = self.run([vectors], asked)
        if not np.isfinite(marginals.log_evidence[0]):
            raise self.impossible(vectors)
        return Posterior(
            {
                v: dict(
                    zip(
                        self.network[v].states,
                        marginals.posteriors[v][0].tolist(),
                        strict=True,
                    )
                )
                for v in asked
            },
            float(marginals.log_evidence[0]),
        )

    def approximate(
        self,
        variables: str | Iterable[str] | None = None,
        evidence: Findings | None = None,
        samples: int = 100_000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Estimated posteriors by likelihood weighting, for networks too wide for an exact answer.

        Parameters
        ----------
        variables, evidence
            As in `posterior`.
        samples, seed : int
            More samples, smaller errors; same seed, same estimate.

        Returns
        -------
        DataFrame
            One row a variable and state: `probability` and its `standard_error`. `attrs` holds
            `effective_samples` and `log_evidence`.

        Raises
        ------
        EvidenceError
            As in `posterior`, and for less than one sample.
        ImpossibleEvidenceError
            When no drawn patient fits the evidence.
        """
        import pandas as pd

        asked = self._asked(variables)
        vectors = likelihoods_of(self.network, evidence or {})
        found = weighted_samples(self.network, vectors, asked, samples, seed)
        frame = pd.DataFrame(
            [
                (v, state, p, error)
                for v in asked
                for state, p, error in zip(
                    self.network[v].states, found.posteriors[v], found.standard_errors[v],
                    strict=True,
                )
            ],
            columns=["variable", "state", "probability", "standard_error"],
        )
        frame.attrs |= {
            "effective_samples": found.effective_samples, "log_evidence": found.log_evidence,
        }
        return frame

    def most_probable(
        self, variables: Iterable[str], evidence: Findings | None = None, k: int = 1
    ) -> pd.DataFrame:
        """The `k` jointly most probable states of `variables`, exactly; the rest is summed out.

        Returns
        -------
        DataFrame
            One row a joint state, best first: one column a variable, and `probability`.
        """
        import pandas as pd

        if k < 1:
            raise EvidenceError([f"k={k}: expected at least 1 set of states"])
        asked = self._asked(variables)
        if not asked:
            raise EvidenceError(["no variables: name at least one whose states are asked about"])
        vectors = likelihoods_of(self.network, evidence or {})
        if not np.isfinite(self._log_evidence(vectors)):
            raise self.impossible(vectors)
        program = self.strata.program_of(vectors)
        found = most_probable_states(program, stack_rows(program, [vectors])[0], asked, k)
        return pd.DataFrame(
            [
                {
                    **{v: self.network[v].states[s] for v, s in f.states.items()},
                    "probability": f.probability,
                }
                for f in found
            ],
            columns=[*asked, "probability"],
        )

    @cached_property
    def _is_wide(self) -> bool:
        """Whether a program for every pattern of evidence would be very large."""
        return estimated_entries(self.network) > LARGEST_EAGER_PROGRAM

    @cached_property
    def _rounded(self) -> tuple[str, ...]:
        """Variables whose tables were rounded in their file, so that rows do not sum to one."""
        return tuple(
            v
            for v, d in self.network.distributions.items()
            if isinstance(d, Table) and np.abs(d.probabilities.sum(axis=-1) - 1).max() > 1e-12
        )

    @cached_property
    def _rounded_program(self) -> Program:
        return compile_program(self.network, free=self._rounded)

    def _run_pruned(self, vectors: Mapping[str, FloatArray], asked: list[str]) -> Marginals:
        """Posteriors where rounded rows count only upstream of the evidence and the question.

        Variables that are neither asked about, observed, nor upstream of either cannot matter, so
        their rows are made to sum to one; the others are taken as the file gives them. This is what
        leaving such "barren" variables out means, as pgmpy and pyAgrum do; every question then has
        tables of its own, and is a row of the batch.
        """
        program = self._rounded_program
        questions: list[str | None] = [None, *asked]
        if program.elimination.entries * len(questions) > LARGEST_PRUNED_BATCH:
            return self.run([vectors], asked)
        upstream = [self.network.ancestors([*vectors, *([q] if q else [])]) for q in questions]
        tables = {}
        for v in self._rounded:
            written = self.network.table(v)
            exact = written / written.sum(axis=-1, keepdims=True)
            tables[v] = np.stack([written if v in u else exact for u in upstream])
        row = stack_rows(program, [vectors])
        found = run(program, np.repeat(row, len(questions), axis=0), asked, tables)
        return Marginals(
            {v: found.posteriors[v][i : i + 1] for i, v in enumerate(questions) if v is not None},
            found.log_evidence[:1],
        )

    def _asked(self, variables: str | Iterable[str] | None) -> list[str]:
        """The variables asked about, each once."""
        if not self.network.variables:
            raise EvidenceError(["the network has no variables, so there is nothing to ask about"])
        if variables is None:
            return list(self.network.variables)
        asked = [variables] if isinstance(variables, str) else list(variables)
        unknown = [
            Problem(f"unknown variable {v!r}.{did_you_mean(v, self.network.variables)}")
            for v in asked
            if v not in self.network
        ]
        if unknown:
            raise EvidenceError(unknown)
        return list(dict.fromkeys(asked))

    def run(
        self, rows: Iterable[Mapping[str, FloatArray]], targets: Iterable[str] | None = None
    ) -> Marginals:
        """Posteriors of `targets` for several patients given as likelihood vectors."""
        return self.strata.run(stack_rows(self.strata, list(rows)), targets)

    def impossible(self, vectors: Mapping[str, FloatArray]) -> ImpossibleEvidenceError:
        """The error that names a smallest set of findings that cannot hold together.

        Findings are left out one at a time; one without which the rest is still impossible is not
        part of the clash.
        """
        clash = dict(vectors)
        for v in list(clash):
            rest = {u: x for u, x in clash.items() if u != v}
            if not np.isfinite(self._log_evidence(rest)):
                clash = rest
        shown = [f"{v} = {self._state_words(v, vector)}" for v, vector in clash.items()]
        return ImpossibleEvidenceError(
            "the model holds these findings to be impossible together: "
            + "; ".join(shown)
            + ". Check them, or leave one out.",
            list(clash),
        )

    def _log_evidence(self, vectors: Mapping[str, FloatArray]) -> float:
        if self._is_wide:
            found = condition_and_eliminate(self.network, vectors, ())
        else:
            found = self.run([vectors], ())
        return float(found.log_evidence[0])

    def _state_words(self, variable: str, vector: FloatArray) -> str:
        states = self.network[variable].states
        return " or ".join(s for s, x in zip(states, vector, strict=True) if x > 0)

    def fit(self, data: Any, **options: Any) -> Self:
        """A new model with parameters learned from data (see `bayesnet.learning.fit`)."""
        from bayesnet.learning import fit

        return fit(self, data, **options)

    def log_probability(self, data: Any, mapping: ColumnMapping | None = None) -> FloatArray:
        """Log of the probability of every row of a table (`bayesnet.learning.log_probability`)."""
        from bayesnet.learning import log_probability

        return log_probability(self, data, mapping)

    def row_plan(self, observed: Iterable[str]) -> StratifiedCounts:
        """Plans for the probability of rows over `observed`; the last few are kept."""
        from bayesnet.inference.counts import StratifiedCounts

        seen = tuple(observed)
        if seen not in self._row_plans:
            for oldest in list(self._row_plans)[: 1 - MOST_CUTS]:
                del self._row_plans[oldest]
            strata = self.strata
            self._row_plans[seen] = StratifiedCounts(self.network, seen, (), strata.order, strata.by)
        return self._row_plans[seen]

    @cached_property
    def _row_plans(self) -> dict[tuple[str, ...], StratifiedCounts]:
        return {}

    def independence_tests(self, data: Any, **options: Any) -> pd.DataFrame:
        """Test the independences the network claims (`bayesnet.validation.independence_tests`)."""
        from bayesnet.validation.structure import independence_tests

        return independence_tests(self, data, **options)

    def recalibrate(
        self, frequencies: Mapping[str, Any], given: Findings | None = None,
        source: str = "local frequencies",
    ) -> Self:
        """A new model in which some things are as common as stated (`bayesnet.learning.recalibrate`)."""
        from bayesnet.learning import recalibrate

        return recalibrate(self, frequencies, given, source)

    def named(self, table: pd.DataFrame) -> NamedTable:
        """A table of an answer in plain words: `model.named(result.next().head(5))`.

        Ids become labels, columns get headings that explain themselves, probabilities are written as
        percentages; to read, not to compute with (`bayesnet.diagnosis.tables`).
        """
        from bayesnet.diagnosis.tables import named

        return named(self, table)

    def to_pgmpy(self) -> Any:
        """The network as a pgmpy `DiscreteBayesianNetwork`."""
        return self.network.to_pgmpy()

    def plot(
        self, ax: Axes | None = None, theme: str = "light", of: str | None = None,
        sheet: str = "landscape",
    ) -> Axes:
        """Draw the network, or what is next to a variable or a family of it.

        See `bayesnet.viz.network_figure.plot_network`.
        """
        from bayesnet.viz.network_figure import plot_network

        return plot_network(self.network, ax=ax, theme=theme, of=of, sheet=sheet)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.network!r}>"

    def _repr_html_(self) -> str:
        network = self.network
        parts = {
            "known beforehand": network.of_role("context"),
            "causes": network.of_role("cause"),
            "hidden mechanisms": network.of_role("mechanism"),
            "findings": network.of_role(
                "history", "examination", "test", "questionnaire", "programme"
            ),
        }
        counts = [f"{len(ids)} {what}" for what, ids in parts.items() if ids]
        arcs = sum(len(network.parents(v)) for v in network.variables)
        total = f"{len(network)} variables, {arcs} arcs"
        return f"<b>{html.escape(network.name or 'network')}</b>: {', '.join([total, *counts])}"


class DiagnosticModel(Model):
    """A clinical model: causes, findings, and an outcome to explain.

    Parameters
    ----------
    document : ModelDocument
        As read from its folder.
    learning : Learning, optional
    """

    def __init__(self, document: ModelDocument, learning: Learning | None = None) -> None:
        super().__init__(document.network, learning)
        self.document = document

    @cached_property
    def strata(self) -> Strata:
        """Programs by the manifest's `strata`, along the folder's own elimination order if any."""
        return Strata(
            self.network, tuple(self.document.manifest.strata), self.document.elimination_order,
            shortcuts=tuple(Shortcut(*each) for each in self.document.shortcuts),
        )

    @property
    def version(self) -> str:
        """The version of the model's content."""
        return self.document.manifest.version

    @property
    def disclaimer(self) -> str:
        """What the model is not; shown wherever results are."""
        return self.document.manifest.disclaimer

    @property
    def outcome(self) -> str | None:
        """The variable whose presence is to be explained."""
        return self.document.manifest.outcome

    @property
    def causes(self) -> tuple[str, ...]:
        """Ids of the causes."""
        return self.network.of_role("cause")

    def causes_of(self, group: str) -> tuple[str, ...]:
        """Ids of the causes that are `diagnoses`, or `contributors` (person and programme).

        Raises
        ------
        ValueError
            For another group.
        """
        from bayesnet.diagnosis.result import group_of

        chosen = tuple(c for c in self.causes if group_of(self.network[c].group) == group)
        if not chosen and group not in ("diagnoses", "contributors"):
            raise ValueError(f"group={group!r}: expected diagnoses or contributors")
        return chosen

    def diagnose(self, findings: Findings) -> Diagnosis:
        """Rank the reasons why PT failed in this person.

        Parameters
        ----------
        findings : mapping
            As `evidence` of `posterior`. The outcome is taken as present unless `findings` says
            otherwise (None for unknown).

        Returns
        -------
        Diagnosis
            With `causes` (a DataFrame), what each rests on (`why`), and text, HTML and JSON forms.

        Raises
        ------
        EvidenceError, ImpossibleEvidenceError
        """
        from bayesnet.diagnosis.result import diagnose

        return diagnose(self, findings)

    def diagnose_frame(self, frame: Any, **options: Any) -> Any:
        """A posterior for every row of a table (see `bayesnet.cohort.diagnose_frame`)."""
        from bayesnet.cohort import diagnose_frame

        return diagnose_frame(self, frame, **options)

    def simulate(
        self, n: int, seed: int = 0, given: Findings | None = None,
        missing: float | Mapping[str, float] = 0.0, hidden: bool = False,
    ) -> pd.DataFrame:
        """Patients drawn exactly from the network (see `bayesnet.cohort.simulate`)."""
        from bayesnet.cohort import simulate

        return simulate(self, n, seed, given, missing, hidden)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write the model as a folder that `load` reads, learned numbers and their data included."""
        from bayesnet.modelfile import write_model

        return write_model(self.document, folder)

    @cached_property
    def _priors(self) -> dict[tuple[float, ...], dict[str, FloatArray]]:
        return {}

    def cause_priors(self, outcome: FloatArray | None) -> dict[str, FloatArray]:
        """P(cause) given only what is said of the outcome; computed once for each `outcome`."""
        key = () if outcome is None else tuple(outcome.tolist())
        if key not in self._priors:
            given = {} if outcome is None or self.outcome is None else {self.outcome: outcome}
            # Without the findings, of which nothing is said, the program is small.
            program = compile_program(
                self.network, [*self.causes, *given], order=self.strata.order
            )
            marginals = run(program, stack_rows(program, [given]), self.causes)
            self._priors[key] = {c: marginals.posteriors[c][0] for c in self.causes}
        return self._priors[key]

    @cached_property
    def twin(self) -> TwinNetwork:
        """The model beside itself with causes forced (`bayesnet.diagnosis.counterfactual`)."""
        from bayesnet.diagnosis.counterfactual import twin_network

        if self.outcome is None:
            raise EvidenceError([f"{self.name} names no outcome, so there is nothing to explain"])
        return twin_network(self.network, self.outcome, self.causes, self.strata)

    def interview(
        self,
        findings: Findings | None = None,
        kinds: tuple[str, ...] | None = None,
        by: str = "information",
        causes: tuple[str, ...] | None = None,
    ) -> Generator[NextFinding, Any, Diagnosis]:
        """Questions, most useful first (see `bayesnet.diagnosis.interview.interview`)."""
        from bayesnet.diagnosis.interview import TALK, interview

        return interview(self, findings, TALK if kinds is None else kinds, by, causes)

    def free_strata(self, observed: Iterable[str]) -> Strata:
        """Programs for the causes given findings on `observed`, whose every number can be given anew.

        What nobody has observed sums to one and is left out, so these are many times smaller than the
        programs for any findings; the last two are kept.
        """
        seen = frozenset(observed) | frozenset(self.causes)
        if seen not in self._free_strata:
            for oldest in list(self._free_strata)[:-1]:
                del self._free_strata[oldest]
            self._free_strata[seen] = Strata(
                self.network, self.strata.by, None, seen, frozenset(self.network.variables)
            )
        return self._free_strata[seen]

    @cached_property
    def _free_strata(self) -> dict[frozenset[str], Strata]:
        return {}

    def cut_strata(self, forced: Iterable[str]) -> Strata:
        """Programs of the network without the arcs into `forced`, whose states evidence says.

        The network's own where there are no such arcs; else the last few are kept.
        """
        network, cut = self.network, frozenset(forced)
        if not any(network.parents(v) or (network.table(v) == 0).any() for v in cut):
            return self.strata
        if cut not in self._cut_strata:
            for oldest in list(self._cut_strata)[: 1 - MOST_CUTS]:
                del self._cut_strata[oldest]
            even = {v: Table((), np.full(len(network[v]), 1 / len(network[v]))) for v in cut}
            # A prevalence speaks of people as they are: what follows from the odds ratios stays.
            solved = {
                v: Table(d.parents, network.table(v))
                for v, d in network.distributions.items() if isinstance(d, OddsRatio)
            }
            # Cutting arcs adds no fill-in: the model's own orders stay good.
            self._cut_strata[cut] = Strata(
                network.replace(solved | even), self.strata.by,
                self.strata.order or self.program.order, shortcuts=self.strata.shortcuts,
            )
        return self._cut_strata[cut]

    @cached_property
    def _cut_strata(self) -> dict[frozenset[str], Strata]:
        return {}

    @cached_property
    def _drawn(self) -> dict[tuple[int, int], Draws]:
        return {}

    def draws(self, n: int = 1000, seed: int = 0) -> Draws:
        """`n` draws of all parameters from their spreads; kept, so that a second call is free."""
        from bayesnet.diagnosis.uncertainty import draw_parameters

        if n < 1:
            raise EvidenceError([f"n={n}: expected at least 1 draw (1000 give steady intervals)"])
        if (n, seed) not in self._drawn:
            self._drawn.clear()
            self._drawn[n, seed] = draw_parameters(self, n, seed)
        return self._drawn[n, seed]

    @cached_property
    def parameter_ranges(self) -> tuple[ParameterRange, ...]:
        """Every number over its 95 % range (`bayesnet.diagnosis.sensitivity`)."""
        from bayesnet.diagnosis.sensitivity import parameter_ranges

        return parameter_ranges(self)

    @cached_property
    def pathways(self) -> Pathways:
        """What can be done and what it is worth: `pathways.yaml` beside the model, if it has one."""
        from bayesnet.diagnosis.pathways import FILE, NO_PATHWAYS, read_pathways

        return read_pathways(self) if (self.document.folder / FILE).exists() else NO_PATHWAYS

    def without_outcome_link(self, cause: str) -> Model:
        """The same model with the direct link from `cause` to the outcome removed."""
        from bayesnet.diagnosis.result import without_link

        assert self.outcome is not None
        distribution = self.network.distributions[self.outcome]
        assert isinstance(distribution, NoisyMax)
        cut = Model(self.network.replace({self.outcome: without_link(distribution, cause)}))
        cut.strata = Strata(
            cut.network, self.strata.by, self.strata.order, shortcuts=self.strata.shortcuts
        )
        return cut

    def __repr__(self) -> str:
        return f"<DiagnosticModel {self.name} {self.version}: {len(self.network)} variables>"

    def _repr_html_(self) -> str:
        manifest = self.document.manifest
        return (
            f"<b>{html.escape(manifest.title or manifest.name)}</b> ({html.escape(self.name)} "
            f"{html.escape(self.version)})<br>{super()._repr_html_()}<br>"
            f"<small>{html.escape(manifest.disclaimer)}</small>"
        )


def load(name: str | os.PathLike[str] = "pt_failure") -> DiagnosticModel:
    """Load a clinical model.

    Parameters
    ----------
    name : str or path
        The name of a shipped model, a model folder, or a model in one YAML file.

    Raises
    ------
    ModelFileError
        When there is no such model, or with every problem of its files.
    """
    from bayesnet.modelfile import read_model

    text = os.fspath(name)
    if text in shipped_models():
        return DiagnosticModel(read_model(model_folder(text)))
    if Path(text).is_dir() or (Path(text).is_file() and text.endswith((".yaml", ".yml"))):
        return DiagnosticModel(read_model(text))
    if text.removesuffix(".gz").endswith(".bif"):
        raise ModelFileError([f"{text!r} is no clinical model: bayesnet.read_network reads .bif files"])
    if text.endswith((".yaml", ".yml")):
        raise ModelFileError([Problem("no such file", text)])
    raise ModelFileError(
        [
            f"no model {text!r}: not a shipped model ({', '.join(shipped_models())}), not a folder "
            f"and not a .yaml file.{did_you_mean(text, shipped_models())}"
        ]
    )


def read_network(path: str | os.PathLike[str]) -> Model:
    """Read any network: a BIF file (plain or gzipped), a model folder, or a shipped model's name.

    Raises
    ------
    NetworkFileError, ModelFileError
    """
    from bayesnet.interchange.bif import read_bif

    file = Path(path)
    if file.is_dir() or os.fspath(path) in shipped_models():
        return load(path)
    if not file.exists():
        raise NetworkFileError([Problem("no such file or model", os.fspath(path))])
    if not file.name.removesuffix(".gz").endswith(".bif"):
        raise NetworkFileError(
            [Problem("unknown kind of file; expected .bif, .bif.gz or a model folder", str(file))]
        )
    return Model(read_bif(file))


def from_pgmpy(model: Any) -> Model:
    """A `Model` from a pgmpy `DiscreteBayesianNetwork`."""
    from bayesnet.interchange.pgmpy import from_pgmpy as convert

    return Model(convert(model))
