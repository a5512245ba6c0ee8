"""`python -m depth_anything_ros.cli`."""

import sys

from depth_anything_ros.cli import main

sys.exit(main())
