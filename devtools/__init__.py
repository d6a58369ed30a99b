"""The code behind `./dev`: brings up Odoo 19, PostgreSQL and a browser, and runs the addons of this repository on them.

Only the standard library is used, so that a machine with Python and nothing else can start it. What must run inside
Odoo's own Python (`pytest_gate`, `sandbox`, `script_runner`, `lint_host`) is started from the virtual environment.
"""
