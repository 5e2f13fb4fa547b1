"""The command line. Each module adds its commands to the one app."""

from bayesnet.cli import cohort, learning, models, patients, plots, questions, serve
from bayesnet.cli.common import app

__all__ = ["app", "cohort", "learning", "main", "models", "patients", "plots", "questions", "serve"]


def main() -> None:
    """Entry point of the `bayesnet` command."""
    app()
