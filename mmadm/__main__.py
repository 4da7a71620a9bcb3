"""``python -m mmadm``: the command ``mmadm``."""

import sys

from .cli import main

sys.exit(main())
