"""`python -m ganrt` is the command `ganrt`."""

import sys

from ganrt.cli import main

sys.exit(main())
