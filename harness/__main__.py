"""What does ``python -m isograd`` do? What the command ``isograd`` does."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))  # the working directory, whose random.py must not stand in for Python's
    from isograd.cli import main

    main()
