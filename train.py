"""`python train.py …` is `letterwise train …`."""

import sys

from letterwise.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
