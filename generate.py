"""`python generate.py …` is `letterwise generate …`."""

import sys

from letterwise.cli import main

sys.exit(main(["generate", *sys.argv[1:]]))
