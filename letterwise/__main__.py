"""`python -m letterwise …` is `letterwise …`."""

import sys

from letterwise.cli import main

sys.exit(main())
