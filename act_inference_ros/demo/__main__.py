"""`python -m act_inference_ros.demo` runs the demo; `demo.run` says what it does."""

import sys

from act_inference_ros.demo.run import main

if __name__ == "__main__":
    sys.exit(main())
