"""A running Odoo which does what a test tells it, one transaction after the other: quicker than a process each time."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

PATIENCE = 300

# Each piece of code comes as a line of JSON and is answered by one. Requests to the provider are given up early.
LOOP = """
import json, os, sys, traceback
import requests
from types import SimpleNamespace
from odoo import api
from odoo.addons.payment.models import payment_provider
from odoo.service.model import retrying

timeout = float(os.environ['REQUEST_TIMEOUT'])

def request(*args, **kwargs):
    return requests.request(*args, **{**kwargs, 'timeout': timeout})

if timeout:
    payment_provider.requests = SimpleNamespace(request=request, exceptions=requests.exceptions)
env.cr.commit()
print(json.dumps({'pid': os.getpid()}), flush=True)
for line in sys.stdin:
    code, values = json.loads(line)
    try:
        with env.registry.cursor() as cursor:
            names = {'env': api.Environment(cursor, api.SUPERUSER_ID, {}), **values}
            # Again when another transaction was at the same rows, as for any request of a client.
            retrying(lambda: exec(code, names), names['env'])
        answer = {'result': names.get('result')}
    except Exception:
        answer = {'error': traceback.format_exc()}
    print(json.dumps(answer, default=str), flush=True)
"""


class OdooShell:
    """One Odoo process."""

    def __init__(self, database: Any, timeout: float = 0.0) -> None:
        """
        :param timeout: seconds after which requests to the provider are given up; as long as Odoo waits where 0
        """
        self._log = Path(tempfile.mkstemp(prefix="odoo-shell")[1])
        with self._log.open("w") as log:
            self._process = database.run_script(
                LOOP, stdin=subprocess.PIPE, stderr=log, env={"REQUEST_TIMEOUT": str(timeout)})
        self._read()

    def run(self, code: str, **values: Any) -> Any:
        """Run code in a transaction of its own and return what it calls `result`.

        :param values: what else the code finds, as JSON has it
        """
        self.begin(code, **values)
        return self.end()

    def begin(self, code: str, **values: Any) -> None:
        """Let it run code while the test does something else."""
        self._process.stdin.write(json.dumps([code, values]) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """Wait for the code which was begun and return its result."""
        answer = self._read()
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def kill(self) -> None:
        """Kill it, whatever it is at."""
        self._process.kill()
        self._process.wait()

    def wait_for_death(self) -> None:
        """Wait until it has ended without an answer."""
        assert self._process.wait(PATIENCE) != 0

    def close(self) -> None:
        """Let it end."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(PATIENCE)
        self._log.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        alarm = threading.Timer(PATIENCE, self._process.kill)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        assert line, f"The process has ended: {self._log.read_text()}"
        return json.loads(line)
