"""Run localstripe on loopback only, with a data file of its own: `python -m devtools.stripe.launcher PORT FILE`."""

from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

from aiohttp import web
from localstripe import resources, server, webhooks

# localstripe waits a second before it sends a webhook.
WEBHOOK_DELAY = 0.02


def main(port: str, file: str = "") -> None:
    """Serve until the process is ended.

    :param port: where to listen
    :param file: what outlives the process; nothing does when left out
    """
    path = Path(file) if file else None

    def dump(store: resources.Store) -> None:
        if path:
            path.write_bytes(pickle.dumps(dict(store), protocol=pickle.HIGHEST_PROTOCOL))

    # Once a request, after it, is enough: localstripe writes everything it has for each object too.
    resources.Store.__setitem__ = dict.__setitem__
    resources.Store.__delitem__ = dict.__delitem__
    resources.Store.dump_to_disk = dump
    if path and path.exists():
        resources.store.update(pickle.loads(path.read_bytes()))
    webhooks.asyncio = SimpleNamespace(
        sleep=lambda _seconds: asyncio.sleep(WEBHOOK_DELAY), ensure_future=asyncio.ensure_future
    )
    web.run_app(server.app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
