"""Run a script inside Odoo: `python -m devtools.script_runner CONFIG DATABASE SCRIPT [ARGUMENT…]`.

The script finds `env` (superuser, a real cursor) and `args` among its globals. What it did is committed at its end,
and rolled back when it fails.
"""

import os
import sys
from pathlib import Path

import odoo.api
import odoo.modules.registry
import odoo.tools


def main(config: str, database: str, script: str, *arguments: str) -> None:
    """Open the database and run the script in one transaction."""
    odoo.tools.config.parse_config(
        [
            "-c",
            config,
            "-d",
            database,
            "--no-http",
            "--max-cron-threads=0",
            f"--log-level={os.environ.get('SCRIPT_LOG_LEVEL', 'warn')}",
        ],
        setup_logging=True,
    )
    path = Path(script) if "\n" not in script and len(script) < 1000 else None
    is_file = path is not None and path.is_file()
    code = compile(
        path.read_text(encoding="utf-8") if is_file else script, str(path) if is_file else "<script>", "exec"
    )
    registry = odoo.modules.registry.Registry(database)
    with registry.cursor() as cursor:
        env = odoo.api.Environment(cursor, odoo.api.SUPERUSER_ID, {})
        exec(code, {"__name__": "__main__", "env": env, "args": list(arguments)})  # noqa: S102


if __name__ == "__main__":
    main(*sys.argv[1:])
