"""What every test run of this repository needs; `./dev test` starts it."""

pytest_plugins = ["devtools.pytest_gate"]
