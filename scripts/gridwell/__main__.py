"""``python -m gridwell`` is the command ``gridwell``."""

import sys

from gridwell.cli import main

sys.exit(main())
