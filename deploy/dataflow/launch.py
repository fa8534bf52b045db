"""What the Flex Template's launcher runs: FLEX_TEMPLATE_PYTHON_PY_FILE."""

import sys

from pipelines.flex_template import main

if __name__ == "__main__":
    main(["launch", *sys.argv[1:]])
