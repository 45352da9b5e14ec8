"""``python -m prcli``."""

from prcli.cli.main import main

if __name__ == "__main__":
    main()
