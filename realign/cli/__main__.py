"""`python -m realign.cli`, the same as `realign`."""

from realign.cli import main

main()
