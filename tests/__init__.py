"""The tests; `HOME` is the folder of the checkout."""

from pathlib import Path

HOME = Path(__file__).parent.parent
