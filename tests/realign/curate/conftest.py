import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # so that `import oracle` finds the file beside the tests
