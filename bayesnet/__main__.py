"""`python -m bayesnet`."""

from bayesnet.cli import main

main()
