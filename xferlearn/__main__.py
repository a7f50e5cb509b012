"""`python -m xferlearn`, the same as the `xferlearn` script."""

from xferlearn.cli import run_and_exit

if __name__ == "__main__":
    run_and_exit()
