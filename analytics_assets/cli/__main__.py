"""The command line as `python -m analytics_assets.cli`."""

from analytics_assets.cli import main

if __name__ == "__main__":
    main()
